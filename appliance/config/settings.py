"""The appliance's settings: the schema of sidetone.toml."""

from __future__ import annotations

import enum
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, SecretStr, StringConstraints, field_validator

Host = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9.-]+(:[0-9]{1,5})?$")]
SipUser = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._*+-]{1,64}$")]
MAX_RUNTIME_BYTES = 90  # a Unix socket's path has 107 (unix(7)), and ours have names
Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]*$")]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Transport(enum.StrEnum):
    UDP = "udp"
    TCP = "tcp"


class Sip(_Section):
    """The phone that the dialer knows us as. On VICIdial the password is the phone's Registration Password.

    Calls are taken from the address that accepted our registration and from `trusted`, from nobody else.
    """

    registrar: Host
    username: SipUser
    password: SecretStr
    transport: Transport = Transport.UDP
    bind: IPv4Address = IPv4Address("0.0.0.0")
    port: int = Field(default=5060, ge=0, le=65535)
    rtp_port: int = Field(default=16384, ge=1024, le=65000)
    codecs: list[str] = Field(default_factory=lambda: ["PCMU", "PCMA"], min_length=1)
    expires_s: int = Field(default=300, ge=30, le=3600)
    trusted: list[IPv4Network] = Field(default_factory=list)


class Capacity(_Section):
    """How many calls are talked to at once. One leg more is always accepted: a new call can come before the old BYE."""

    lines: int = Field(default=10, ge=1, le=128)


class Engines(_Section):
    """Backends by name. `mind` is an order of preference."""

    recognizer: Name = "pocketsphinx"
    vad: Name = "pocketsphinx"
    voice: Name = "flite"
    speaker: str = ""
    mind: list[Name] = Field(default_factory=lambda: ["scripted"], min_length=1)


class Paths(_Section):
    """Where things are kept. `state` holds the database; recordings and transcripts go below `recordings`."""

    state: Path = Path("/var/lib/sidetone")
    runtime: Path = Path("/run/sidetone")
    recordings: Path = Path("/var/lib/sidetone/recordings")

    @field_validator("runtime")
    @classmethod
    def _room_for_a_socket(cls, runtime: Path) -> Path:
        if len(str(runtime).encode()) > MAX_RUNTIME_BYTES:
            raise ValueError(f"paths.runtime: is too long for a socket's folder, at most {MAX_RUNTIME_BYTES} bytes")
        return runtime


class Recording(_Section):
    enabled: bool = True


class Limits(_Section):
    """`drain_s`: how long running calls may go on after a stop was asked. `call_s`: the longest call."""

    drain_s: float = Field(default=60, ge=0, le=3600)
    call_s: float = Field(default=900, ge=10, le=7200)


class Settings(_Section):
    """Everything in sidetone.toml. `campaign` is the path of the campaign file, relative to the settings file."""

    campaign: Path
    sip: Sip
    capacity: Capacity = Field(default_factory=Capacity)
    engines: Engines = Field(default_factory=Engines)
    paths: Paths = Field(default_factory=Paths)
    recording: Recording = Field(default_factory=Recording)
    limits: Limits = Field(default_factory=Limits)
