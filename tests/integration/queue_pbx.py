"""The lab's Asterisk as a PBX with a queue: what an office's administrator adds to its files."""

from __future__ import annotations

from tests.lab.asterisk.server import Asterisk

QUEUE = "support"
USER, SECRET = "sidetone", "Sesame-84-open"
CALLER = "Local/100@callers/n"

_MODULES = ("app_queue",)
_MANAGER = f"""[general]
enabled=yes
bindaddr=127.0.0.1
port={{port}}
displayconnects=no
[{USER}]
secret={SECRET}
deny=0.0.0.0/0.0.0.0
permit=127.0.0.1/255.255.255.255
read=agent
write=agent
"""
_QUEUES = f"""[general]
persistentmembers=no
[{QUEUE}]
strategy=ringall
timeout=10
retry=1
ringinuse=no
joinempty=yes
"""
_EXTENSIONS = f"""
[callers]
exten => 100,1,Answer()
 same => n,Queue({QUEUE},,,,15)
 same => n,Hangup()
"""


def furnish(asterisk: Asterisk, manager_port: int) -> None:
    """Give it the queue and a manager's user with no more rights than the box needs. It is restarted for that."""
    etc = asterisk.home / "etc"
    (etc / "manager.conf").write_text(_MANAGER.format(port=manager_port))
    (etc / "queues.conf").write_text(_QUEUES)
    (etc / "queuerules.conf").write_text("[general]\n")
    with (etc / "extensions.conf").open("a") as dialplan:
        dialplan.write(_EXTENSIONS)
    with (etc / "modules.conf").open("a") as modules:
        modules.writelines(f"load => {name}.so\n" for name in _MODULES)
    if not asterisk.pjsip:
        peers = etc / "sip.conf"
        peers.write_text(peers.read_text().replace("[general]\n", "[general]\ncallcounter=yes\n", 1))
    asterisk.restart(away_s=0.0)


def enter_caller(asterisk: Asterisk) -> None:
    """Somebody calls the queue, and waits for 15 s at most."""
    asterisk.cli(f"channel originate {CALLER} application Wait 30")


def drop_callers(asterisk: Asterisk) -> None:
    asterisk.cli("channel request hangup all")
