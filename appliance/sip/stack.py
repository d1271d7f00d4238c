"""Bringing pjsua2 up and down. Everything here runs in the SIP thread."""

from __future__ import annotations

import errno
import logging
import ssl
from pathlib import Path

import pjsua2 as pj

from appliance.audio.formats import FRAME_S, RATE_HZ
from appliance.config.settings import Sip, Srtp, Transport
from appliance.errors import SipError

log = logging.getLogger(__name__)

PTIME_MS = round(FRAME_S * 1000)
RTP_PORTS_PER_CALL = 2
_HANDSHAKE_MS = 3000
_LAST_PORT = 65534
_TRANSPORTS = {
    Transport.UDP: pj.PJSIP_TRANSPORT_UDP,
    Transport.TCP: pj.PJSIP_TRANSPORT_TCP,
    Transport.TLS: pj.PJSIP_TRANSPORT_TLS,
}
_SRTP = {
    Srtp.OFF: pj.PJMEDIA_SRTP_DISABLED,
    Srtp.OPTIONAL: pj.PJMEDIA_SRTP_OPTIONAL,
    Srtp.REQUIRED: pj.PJMEDIA_SRTP_MANDATORY,
}
_OS_ERROR_BASE = 120_000
"""pjlib's PJ_ERRNO_START_SYS: the operating system's errno is added to it."""


def open_stack(endpoint: pj.Endpoint, settings: Sip, max_calls: int) -> int:
    """Create, start and bind. Returns the port that is bound. Raises SipError; the endpoint must then be closed with
    `close_stack`."""
    compiled = pj.UaConfig().maxCalls
    if max_calls > compiled:
        raise SipError(
            f"this pjsua2 is built for {compiled} calls, {max_calls} are needed",
            hint="install the wheel that image/pjsua2/wheel.sh builds, or lower capacity.lines",
        )
    try:
        endpoint.libCreate()
        endpoint.libInit(_endpoint_config())
        _rank_codecs(endpoint, settings.codecs)
        port = _bind(endpoint, settings)
        endpoint.libStart()
        # No sound card: pjmedia's own timer drives the bridge.
        endpoint.audDevManager().setNullDev()
    except pj.Error as error:
        raise SipError(f"the SIP stack does not start: {error.info()}") from error
    return port


def close_stack(endpoint: pj.Endpoint) -> None:
    """Everything of it must be deleted before; nothing is sent any more."""
    endpoint.libDestroy(pj.PJSUA_DESTROY_NO_NETWORK)


def _endpoint_config() -> pj.EpConfig:
    config = pj.EpConfig()
    ua = config.uaConfig
    ua.threadCnt = 0  # the SIP thread polls, so every callback but the media ones runs in it
    ua.maxCalls = pj.UaConfig().maxCalls  # far above our capacity: pj answers 486 by itself beyond it
    ua.userAgent = "Sidetone"
    ua.mwiUnsolicitedEnabled = True  # Asterisk sends NOTIFY message-summary unasked; it wants its 200
    log = config.logConfig
    log.level = log.consoleLevel = 0  # pj's log has callers' numbers in it
    log.msgLogging = 0
    media = config.medConfig
    media.clockRate = media.sndClockRate = RATE_HZ
    media.channelCount = 1
    media.audioFramePtime = media.ptime = PTIME_MS
    media.noVad = True  # silence is sent as silence: gaps would look like loss to the far end's jitter buffer
    media.ecTailLen = 0
    media.sndAutoCloseTime = -1  # the clock beats while there are no calls
    media.threadCnt = 1  # RTP is read in C, apart from the SIP thread
    media.hasIoqueue = True
    # The delay before the first word is heard is the caller's whole delay budget on a LAN, so the jitter buffer starts
    # with one frame and grows by what it sees; 200 ms of it is the most that a conversation bears.
    media.jbInit = PTIME_MS
    media.jbMinPre = PTIME_MS
    media.jbMaxPre = 8 * PTIME_MS
    media.jbMax = 10 * PTIME_MS
    media.jbDiscardAlgo = pj.PJMEDIA_JB_DISCARD_PROGRESSIVE
    return config


def _rank_codecs(endpoint: pj.Endpoint, wanted: list[str]) -> None:
    """Enable what the settings list, in their order, and nothing else. A codec is named as in SDP, "PCMU" or
    "speex/16000"."""
    known = [info.codecId for info in endpoint.codecEnum2()]
    for codec_id in known:
        endpoint.codecSetPriority(codec_id, 0)
    for place, name in enumerate(wanted):
        found = [codec_id for codec_id in known if f"{codec_id}/".lower().startswith(f"{name}/".lower())]
        if not found:
            names = sorted({codec_id.split("/")[0] for codec_id in known})
            raise SipError(f"sip.codecs: there is no codec {name!r}", hint=f"this build has {', '.join(names)}")
        for codec_id in found:
            endpoint.codecSetPriority(codec_id, max(255 - place, 1))


def _bind(endpoint: pj.Endpoint, settings: Sip) -> int:
    config = pj.TransportConfig()
    config.port = settings.port
    config.boundAddress = str(settings.bind)
    if settings.transport is Transport.TLS:
        _secure(config.tlsConfig, settings)
    elif settings.srtp is not Srtp.OFF:
        log.warning(
            "sip.srtp is %s, but its keys travel in clear over %s: set sip.transport to tls", settings.srtp, settings.transport
        )
    try:
        transport = endpoint.transportCreate(_TRANSPORTS[settings.transport], config)
    except pj.Error as error:
        raise _bind_error(error, settings) from error
    return int(endpoint.transportGetInfo(transport).localName.rpartition(":")[2])


def _secure(tls: pj.TlsConfig, settings: Sip) -> None:
    """We have no certificate, so nobody can connect to us: the dialer's calls come over the connection that we made."""
    tls.proto = pj.PJ_SSL_SOCK_PROTO_TLS1_2 | pj.PJ_SSL_SOCK_PROTO_TLS1_3
    tls.msecTimeout = _HANDSHAKE_MS
    tls.verifyServer = settings.tls_verify
    if settings.tls_verify:
        _check_authorities(settings.tls_ca)
        tls.CaListFile = str(settings.tls_ca)
    else:
        log.warning("sip.tls_verify is false: any machine that answers at %s is taken for the dialer", settings.registrar)


def _check_authorities(path: Path) -> None:
    """pj would tell of a bad file with each connection only."""
    try:
        ssl.create_default_context(cafile=str(path))
    except OSError as error:
        what = "has no certificate in it" if isinstance(error, ssl.SSLError) else f"cannot be read: {error.strerror}"
        hint = "it should be a PEM file (BEGIN CERTIFICATE) of whoever signed the dialer's certificate"
        raise SipError(f"sip.tls_ca: {path} {what}", hint=hint) from error


def certificate_refused(tls: pj.TlsInfo) -> str:
    """What is wrong with the far end's certificate, in OpenSSL's or pj's words; "" where nothing is."""
    if not tls.verifyStatus:
        return ""
    return ", ".join(str(line).rstrip(".").lower() for line in tls.verifyMsgs) or f"verification status {tls.verifyStatus}"


def _bind_error(error: pj.Error, settings: Sip) -> SipError:
    where = f"{settings.transport.value} {settings.bind}:{settings.port}"
    match error.status - _OS_ERROR_BASE:
        case errno.EADDRINUSE:
            hint = "another program uses this port: stop it, or set sip.port to a free one"
            return SipError(f"cannot listen on {where}: the port is in use", hint=hint)
        case errno.EADDRNOTAVAIL:
            return SipError(f"cannot listen on {where}: this machine has no such address", hint="check sip.bind")
        case errno.EACCES:
            return SipError(f"cannot listen on {where}: not permitted", hint="ports below 1024 need root")
        case _:
            return SipError(f"cannot listen on {where}: {error.reason}")


def account_config(settings: Sip) -> pj.AccountConfig:
    """The phone. Registration is ours alone (`registration.py`): pj neither starts nor repeats it."""
    config = pj.AccountConfig()
    config.idUri = f"sip:{settings.username}@{settings.registrar.split(':')[0]}"
    registration = config.regConfig
    registration.registrarUri = registrar_uri(settings)
    registration.registerOnAdd = False
    registration.timeoutSec = settings.expires_s
    registration.retryIntervalSec = registration.firstRetryIntervalSec = 0
    registration.dropCallsOnFail = False
    credentials = pj.AuthCredInfo("digest", "*", settings.username, 0, settings.password.get_secret_value())
    config.sipConfig.authCreds.push_back(credentials)
    # On the dialer's LAN there is no NAT: a contact rewritten in mid-call would only re-INVITE every caller.
    nat = config.natConfig
    nat.contactRewriteUse = nat.viaRewriteUse = nat.sipOutboundUse = 0
    config.mediaConfig.srtpUse = _SRTP[settings.srtp]
    config.mediaConfig.srtpSecureSignaling = 1 if settings.transport is Transport.TLS else 0
    rtp = config.mediaConfig.transportConfig
    rtp.port = settings.rtp_port
    # Twice what all calls need, so that a port rests before it is used again and late RTP meets nobody.
    wanted = 2 * RTP_PORTS_PER_CALL * pj.UaConfig().maxCalls
    rtp.portRange = min(wanted, _LAST_PORT - settings.rtp_port)
    rtp.boundAddress = str(settings.bind)
    return config


def new_contact_config(settings: Sip, turn: int) -> pj.AccountConfig:
    """To modify the account with, so that its next REGISTER has the port of today's TCP or TLS connection in its Contact:
    pj keeps the one of the first connection, where nobody is any more. No REGISTER may be under way.

    pj makes a new Contact when an option of the registration changes; this one has no other effect, as we have no proxies.
    """
    config = account_config(settings)
    config.regConfig.disableRegOnModify = True
    config.regConfig.proxyUse = 0 if turn % 2 else config.regConfig.proxyUse
    return config


def registrar_uri(settings: Sip) -> str:
    tail = "" if settings.transport is Transport.UDP else f";transport={settings.transport.value}"
    return f"sip:{settings.registrar}{tail}"
