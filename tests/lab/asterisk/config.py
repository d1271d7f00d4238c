"""Asterisk's configuration for one lab instance, written as VICIdial writes it. Pure: names in, file texts out.

What VICIdial generates: the peer in sip.conf and the phone's extension (Dial, then voicemail on the next priority).
"""

from __future__ import annotations

from dataclasses import dataclass

PHONE_CONTEXT = "default"
CARRIER = "carrier"
ROUTING = "8368"  # VICIdial's routing extension without answering machine detection
VOICEMAIL_HITS = "voicemail.hits"


@dataclass(frozen=True)
class Phone:
    """One phone of the dialer: the extension is also the SIP user name. `secret` is the Registration Password."""

    extension: str = "8371"
    secret: str = "lab-secret-8371"
    ring_s: int = 20


@dataclass(frozen=True)
class Autodialer:
    """A dialer beside Asterisk that works it as VICIdial does: over the manager interface (AMI), and by FastAGI.

    `agi_port` is where its FastAGI server listens on loopback. `closer` is the phone of the humans who take transfers: it
    answers, and hangs up after `closer_s`.
    """

    manager_port: int
    agi_port: int
    user: str = "cron"
    secret: str = "lab-secret-ami"
    closer: str = "8379"
    closer_s: int = 4


@dataclass(frozen=True)
class Plan:
    """Where an instance lives (folders as Asterisk sees them, inside the root) and which ports it uses."""

    folder: str
    modules: str
    sip_port: int
    rtp_first: int
    rtp_last: int
    carrier_port: int
    phones: tuple[Phone, ...] = (Phone(),)
    rtp_timeout_s: int = 60
    autodialer: Autodialer | None = None


_COMMON_MODULES = (
    "app_dial app_system app_voicemail app_playback app_echo app_verbose bridge_simple bridge_native_rtp "
    "bridge_builtin_features bridge_holding bridge_softmix chan_bridge_media codec_alaw codec_ulaw codec_gsm "
    "codec_a_mu codec_resample format_gsm format_pcm format_wav format_wav_gsm func_callerid func_channel "
    "func_strings func_logic func_hangupcause pbx_config pbx_spool res_clioriginate res_sorcery_config res_pjproject "
    "res_rtp_asterisk res_timing_timerfd res_crypto "
).split()
_AUTODIALER_MODULES = ["res_speech", "res_agi"]
_CHAN_SIP_MODULES = ["chan_sip", "res_stasis", "res_stasis_device_state"]
_PJSIP_MODULES = (
    "res_sorcery_memory res_sorcery_astdb res_pjsip res_pjsip_session res_pjsip_sdp_rtp "
    "res_pjsip_registrar res_pjsip_authenticator_digest res_pjsip_caller_id res_pjsip_endpoint_identifier_user "
    "res_pjsip_endpoint_identifier_ip res_pjsip_dtmf_info res_pjsip_rfc3326 res_pjsip_pubsub res_pjsip_mwi "
    "res_pjsip_mwi_body_generator res_pjsip_nat res_pjsip_logger res_pjsip_outbound_authenticator_digest "
    "res_pjsip_refer res_pjsip_header_funcs res_pjsip_messaging chan_pjsip func_pjsip_endpoint func_pjsip_contact "
    "func_pjsip_aor"
).split()


def files(plan: Plan, *, pjsip: bool) -> dict[str, str]:
    """Every configuration file by name. `pjsip` says which SIP channel driver carries the phones."""
    made = {
        "asterisk.conf": _asterisk(plan),
        "modules.conf": _modules(plan, pjsip),
        "logger.conf": "[general]\ndateformat=%F %T.%3q\n[logfiles]\nfull => notice,warning,error,verbose(4)\n",
        "rtp.conf": f"[general]\nrtpstart={plan.rtp_first}\nrtpend={plan.rtp_last}\nstrictrtp=yes\n",
        "extensions.conf": _extensions(plan, "PJSIP" if pjsip else "SIP"),
        "voicemail.conf": _voicemail(plan),
        "indications.conf": _INDICATIONS,
        **dict.fromkeys(("features.conf", "ccss.conf", "udptl.conf"), "[general]\n"),
        **dict.fromkeys(("acl.conf", "pjproject.conf"), ""),
        "cdr.conf": "[general]\nenable=no\n",
        "cel.conf": "[general]\nenable=no\n",
        "manager.conf": _manager(plan.autodialer),
        "http.conf": "[general]\nenabled=no\n",
    }
    made["pjsip.conf" if pjsip else "sip.conf"] = _pjsip(plan) if pjsip else _sip(plan)
    return made


def channel(number: str, *, pjsip: bool) -> str:
    """The carrier's channel towards a customer's number, for a call file."""
    return f"PJSIP/{number}@{CARRIER}" if pjsip else f"SIP/{CARRIER}/{number}"


def call_file(number: str, caller_id_name: str, phone: Phone, *, pjsip: bool, wait_s: int = 30) -> str:
    """A call file: ring the customer, and on answer continue the customer's own channel into the phone's extension."""
    return (
        f"Channel: {channel(number, pjsip=pjsip)}\n"
        f'CallerID: "{caller_id_name}" <{number}>\n'
        f"Set: __DIALERID={caller_id_name}\nSet: __CUSTOMER={number}\n"
        f"MaxRetries: 0\nWaitTime: {wait_s}\nContext: dialer\nExtension: {phone.extension}\nPriority: 1\n"
    )


def _asterisk(plan: Plan) -> str:
    where = plan.folder
    return f"""[directories]
astetcdir => {where}/etc
astmoddir => {plan.modules}
astvarlibdir => /var/lib/asterisk
astdbdir => {where}/db
astkeydir => {where}
astdatadir => /usr/share/asterisk
astagidir => /usr/share/asterisk/agi-bin
astspooldir => {where}/spool
astrundir => {where}/run
astlogdir => {where}/log
[options]
verbose = 4
highpriority = no
transmit_silence = no
live_dangerously = no
"""


def _modules(plan: Plan, pjsip: bool) -> str:
    wanted = _COMMON_MODULES + (_PJSIP_MODULES if pjsip else _CHAN_SIP_MODULES)
    wanted = wanted + (_AUTODIALER_MODULES if plan.autodialer else [])
    return "[modules]\nautoload=no\n" + "".join(f"load => {name}.so\n" for name in wanted)


def _manager(autodialer: Autodialer | None) -> str:
    if autodialer is None:
        return "[general]\nenabled=no\n"
    return f"""[general]
enabled=yes
bindaddr=127.0.0.1
port={autodialer.manager_port}
[{autodialer.user}]
secret={autodialer.secret}
deny=0.0.0.0/0.0.0.0
permit=127.0.0.1/255.255.255.255
read=call
write=call,originate
"""


def _routing(autodialer: Autodialer) -> list[str]:
    """VICIdial's extensions in the phones' context: routing and in-group transfer."""
    agi = f"AGI(agi://127.0.0.1:{autodialer.agi_port}"
    return [
        f"exten => {ROUTING},1,{agi}/route,${{LEAD}})",
        " same => n,Hangup()",
        f"exten => _90009*.,1,{agi}/ingroup)",
        " same => n,Hangup()",
        f"exten => {autodialer.closer},1,Answer()",
        f" same => n,Wait({autodialer.closer_s})",
        " same => n,Hangup()",
    ]


def _extensions(plan: Plan, driver: str) -> str:
    lines = [
        "[general]",
        "static=yes",
        "writeprotect=yes",
        "[dialer]",  # what the routing AGI does before it hands the customer's channel to the phone's extension
        'exten => _X.,1,Set(CALLERID(all)="${DIALERID}" <${CUSTOMER}>)',
        f" same => n,Goto({PHONE_CONTEXT},${{EXTEN}},1)",
        f"[{PHONE_CONTEXT}]",
    ]
    for phone in plan.phones:
        lines += [
            f"exten => {phone.extension},1,Dial({driver}/{phone.extension},{phone.ring_s},)",
            f"exten => {phone.extension},2,Goto(mailbox,{phone.extension},1)",
            f"exten => {phone.extension},3,Hangup()",
        ]
    if plan.autodialer is not None:
        lines += _routing(plan.autodialer)
    hits = f"{plan.folder}/{VOICEMAIL_HITS}"
    note = "${FILTER(0-9A-Z,${CALLERID(name)})} ${FILTER(0-9,${CUSTOMER})} ${DIALSTATUS}"
    lines += [
        "[mailbox]",
        f"exten => _X.,1,System(echo ${{EXTEN}} {note} >> {hits})",
        " same => n,VoiceMail(${EXTEN}@default,u)",
        " same => n,Hangup()",
        "[trunkinbound]",
        "exten => _X.,1,Hangup(21)",
        "",
    ]
    return "\n".join(lines)


def _voicemail(plan: Plan) -> str:
    boxes = "".join(f"{phone.extension} => 1234,{phone.extension}\n" for phone in plan.phones)
    return f"[general]\nformat=wav\nmaxsecs=60\nminsecs=1\nmaxsilence=0\nattach=no\n[default]\n{boxes}"


def _sip(plan: Plan) -> str:
    peers = "".join(
        f"""[{phone.extension}]
username={phone.extension}
secret={phone.secret}
accountcode={phone.extension}
callerid="{phone.extension}" <0000000000>
mailbox={phone.extension}
context={PHONE_CONTEXT}
type=friend
host=dynamic
disallow=all
allow=ulaw
"""
        for phone in plan.phones
    )
    return f"""[general]
context=trunkinbound
allowguest=no
alwaysauthreject=yes
udpbindaddr=127.0.0.1:{plan.sip_port}
tcpenable=yes
tcpbindaddr=127.0.0.1:{plan.sip_port}
srvlookup=no
disallow=all
allow=ulaw
dtmfmode=rfc2833
sendrpid=yes
directmedia=no
qualify=no
rtptimeout={plan.rtp_timeout_s}
minexpiry=20
maxexpiry=3600
defaultexpiry=300
[{CARRIER}]
type=peer
host=127.0.0.1
port={plan.carrier_port}
context=trunkinbound
insecure=port,invite
disallow=all
allow=ulaw
{peers}"""


def _pjsip(plan: Plan) -> str:
    shared = (
        f"disallow=all\nallow=ulaw\ndirect_media=no\nsend_rpid=yes\ndtmf_mode=rfc4733\nrtp_timeout={plan.rtp_timeout_s}\n"
        "rtp_symmetric=yes\n"
    )
    phones = "".join(
        f"""[{phone.extension}]
type=endpoint
context={PHONE_CONTEXT}
transport=udp
auth=auth{phone.extension}
aors={phone.extension}
callerid="{phone.extension}" <0000000000>
accountcode={phone.extension}
mailboxes={phone.extension}@default
{shared}[auth{phone.extension}]
type=auth
auth_type=userpass
username={phone.extension}
password={phone.secret}
[{phone.extension}]
type=aor
max_contacts=1
remove_existing=yes
minimum_expiration=20
maximum_expiration=3600
default_expiration=300
"""
        for phone in plan.phones
    )
    return f"""[global]
type=global
[udp]
type=transport
protocol=udp
bind=127.0.0.1:{plan.sip_port}
[tcp]
type=transport
protocol=tcp
bind=127.0.0.1:{plan.sip_port}
[{CARRIER}]
type=endpoint
context=trunkinbound
transport=udp
aors={CARRIER}
{shared}[{CARRIER}]
type=aor
contact=sip:127.0.0.1:{plan.carrier_port}
{phones}"""


_INDICATIONS = """[general]
country=us
[us]
description=United States
ringcadence=2000,4000
dial=350+440
busy=480+620/500,0/500
ring=440+480/2000,0/4000
congestion=480+620/250,0/250
"""
