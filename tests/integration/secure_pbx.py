"""The lab's Asterisk with SIP over TLS and encrypted audio (SDES), as an administrator sets it up for one phone."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.lab.asterisk.server import Asterisk
from tests.lab.processes import HOST

ECHO = "100"
_EXTENSIONS = f"""
[default]
exten => {ECHO},1,Answer()
 same => n,Echo()
"""
_TRANSPORT = """
[tls]
type=transport
protocol=tls
bind={host}:{port}
cert_file={certificate}
priv_key_file={key}
method=tlsv1_2
"""
_GENERAL = """[general]
tlsenable=yes
tlsbindaddr={host}:{port}
tlscertfile={certificate}
tlsprivatekey={key}
"""


@dataclass(frozen=True)
class Identity:
    """A certificate, its key, and the certificate of the authority that signed it. PEM files."""

    certificate: Path
    key: Path
    authority: Path


def identity(folder: Path, *, names: str) -> Identity:
    """A new authority and what it signed, for `names` as OpenSSL writes them: "IP:127.0.0.1"."""
    made = Identity(folder / "dialer.crt", folder / "dialer.key", folder / "ca.crt")
    new = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    authority_key = folder / "ca.key"
    of_authority: list[str | Path] = ["-subj", "/CN=Lab authority", "-keyout", authority_key, "-out", made.authority]
    subprocess.run([*new, *of_authority], check=True, capture_output=True)
    signed: list[str | Path] = [
        "-CA",
        made.authority,
        "-CAkey",
        authority_key,
        "-subj",
        "/CN=dialer",
        "-keyout",
        made.key,
        "-out",
        made.certificate,
    ]
    extensions = ["-addext", f"subjectAltName={names}", "-addext", "basicConstraints=critical,CA:FALSE"]
    subprocess.run([*new, *signed, *extensions], check=True, capture_output=True)
    return made


def modules_missing(root: Path) -> bool:
    """Asterisk in this root file system cannot encrypt audio."""
    return next(root.glob("usr/lib/**/asterisk/modules/res_srtp.so"), None) is None


def show(asterisk: Asterisk, shown: Identity) -> None:
    """From its next start on the dialer shows this certificate."""
    for source, name in ((shown.certificate, "dialer.crt"), (shown.key, "dialer.key")):
        (asterisk.home / "etc" / name).write_bytes(source.read_bytes())


def furnish(asterisk: Asterisk, tls_port: int, shown: Identity) -> None:
    """Let its phone in over TLS only, with encrypted audio only. It is restarted for that."""
    etc, inside = asterisk.home / "etc", f"{asterisk.plan.folder}/etc"
    show(asterisk, shown)
    fields = {"host": HOST, "port": tls_port, "certificate": f"{inside}/dialer.crt", "key": f"{inside}/dialer.key"}
    with (etc / "extensions.conf").open("a") as dialplan:
        dialplan.write(_EXTENSIONS)
    with (etc / "modules.conf").open("a") as modules:
        modules.write("load => res_srtp.so\n")
    phone = asterisk.phone.extension
    if asterisk.pjsip:
        path, old, new = etc / "pjsip.conf", f"transport=udp\nauth=auth{phone}\n", f"transport=tls\nauth=auth{phone}\n"
        text = path.read_text().replace(old, f"{new}media_encryption=sdes\n", 1) + _TRANSPORT.format(**fields)
    else:
        path, old = etc / "sip.conf", f"[{phone}]\n"
        text = path.read_text().replace(old, f"{old}transport=tls\nencryption=yes\n", 1)
        text = text.replace("[general]\n", _GENERAL.format(**fields), 1)
    path.write_text(text)
    asterisk.restart(away_s=0.0)
