"""The appliance's settings: the schema of sidetone.toml."""

from __future__ import annotations

import enum
from datetime import time
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    HttpUrl,
    SecretStr,
    StringConstraints,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

Host = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9.-]+(:[0-9]{1,5})?$")]
SipUser = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._*+-]{1,64}$")]
MAX_RUNTIME_BYTES = 90  # a Unix socket's path has 107 (unix(7)), and ours have names
Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]*$")]
HeaderName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9-]{0,63}$")]
InGroup = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{0,20}$")]
LeadField = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,49}$")]
Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
ReferTarget = Annotated[
    str,
    StringConstraints(pattern=r"^(|[A-Za-z0-9._*#+-]{1,64}|[Ss][Ii][Pp][Ss]?:[A-Za-z0-9\[\]!~*'()&=+$/%:;@._-]{1,200})$"),
]
OneLine = Annotated[str, StringConstraints(pattern=r"^[^\r\n]{0,80}$")]
Disposition = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,6}$")]


def _not_empty(password: SecretStr) -> SecretStr:
    if not password.get_secret_value():
        raise PydanticCustomError("empty_password", "should not be empty")
    return password


Password = Annotated[SecretStr, AfterValidator(_not_empty)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Transport(enum.StrEnum):
    UDP = "udp"
    TCP = "tcp"
    TLS = "tls"


class Srtp(enum.StrEnum):
    """Encrypted audio, its keys in the SDP (RFC 4568)."""

    OFF = "off"
    OPTIONAL = "optional"
    REQUIRED = "required"


class Sip(_Section):
    """The phone that the dialer knows us as. On VICIdial the password is the phone's Registration Password.

    Calls are taken from the address that accepted our registration and from `trusted`, from nobody else. `tls_ca` is a PEM
    file of whoever may have signed the dialer's certificate; Debian's store where nothing else is said.
    """

    registrar: Host
    username: SipUser
    password: Password
    transport: Transport = Transport.UDP
    tls_ca: Path = Path("/etc/ssl/certs/ca-certificates.crt")
    tls_verify: bool = True
    srtp: Srtp = Srtp.OFF
    bind: IPv4Address = IPv4Address("0.0.0.0")
    port: int = Field(default=5060, ge=0, le=65535)
    rtp_port: int = Field(default=16384, ge=1024, le=65000)
    codecs: list[str] = Field(default_factory=lambda: ["PCMU", "PCMA"], min_length=1)
    expires_s: int = Field(default=300, ge=30, le=3600)
    trusted: list[IPv4Network] = Field(default_factory=list)
    id_headers: list[HeaderName] = Field(default_factory=lambda: ["X-VICIdial-Call-Id", "X-VICIDIAL-callerid"])


class DialerKind(enum.StrEnum):
    VICIDIAL = "vicidial"  # GOautodial too
    PBX = "pbx"
    QUEUE = "queue"


class Vicidial(_Section):
    """The dialer's two APIs and the remote agent there. `agent_user` is its User Start, `campaign` the id of its campaign.

    In-groups: `transfer_to` takes qualified callers, `overflow_to` those over capacity, `rescue_to` those who landed in
    the phone's voicemail or lost their agent to a crash; the latter two fall back on `transfer_to`. "" is none.
    """

    url: HttpUrl
    user: Annotated[str, StringConstraints(min_length=2, max_length=20)]
    password: Password
    agent_user: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{2,20}$")]
    campaign: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,8}$")]
    transfer_to: InGroup = ""
    overflow_to: InGroup = ""
    rescue_to: InGroup = ""
    agent_path: str = "/agc/api.php"
    admin_path: str = "/vicidial/non_agent_api.php"
    timeout_s: float = Field(default=4.0, ge=0.5, le=30)
    fields: dict[str, LeadField] = Field(default_factory=dict)
    dnc_scope: str = "SYSTEM_INTERNAL"
    write_comments: bool = False
    manage_lines: bool = True

    @field_validator("url")
    @classmethod
    def _no_password_in_it(cls, url: HttpUrl) -> HttpUrl:
        if url.username or url.password or url.query or url.fragment or (url.path or "/") != "/":
            raise ValueError("dialer.vicidial.url: only http:// or https:// and the dialer's name, such as http://192.0.2.10")
        return url


class Queue(_Section):
    """An Asterisk queue joined over the manager interface (AMI)."""

    manager: Host
    user: OneLine
    password: Password
    queue: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]{1,80}$")]
    interface: OneLine = ""
    penalty: int = Field(default=0, ge=0, le=100)


DISPOSITIONS = {
    "completed": "AIQUAL",
    "not_qualified": "AINQ",
    "dnc": "DNC",
    "wants_human": "AIHUMN",
    "not_interested": "NI",
    "callback": "CALLBK",
    "wrong_number": "AIWN",
    "no_input": "DAIR",
    "hung_up": "AICU",
    "technical": "AIFAIL",
    "busy": "AIBUSY",
    "cut_short": "AIFAIL",
    "transferred": "XFER",
}


class Callbacks(_Section):
    """When people may be called back, in their own time; also the hours that a spoken time is refused outside of."""

    earliest: time = time(9)
    latest: time = time(20)
    days: list[Day] = Field(default_factory=lambda: list[Day](["mon", "tue", "wed", "thu", "fri", "sat"]), min_length=1)
    furthest_days: int = Field(default=30, ge=1, le=365)

    @model_validator(mode="after")
    def _leaves_some_time(self) -> Callbacks:
        if self.earliest >= self.latest:
            raise ValueError("dialer.callbacks.latest: must be later than dialer.callbacks.earliest")
        return self


class Dialer(_Section):
    """Which dialer the box works for. `shadow`: listen and decide, say nothing and write nothing.

    `dispositions` says which status each outcome becomes; it is merged over the defaults. `transfer_to` is for a plain
    PBX: the SIP URI or extension that REFER names.
    """

    kind: DialerKind = DialerKind.PBX
    shadow: bool = False
    vicidial: Vicidial | None = None
    queue: Queue | None = None
    transfer_to: ReferTarget = ""
    dispositions: dict[str, Disposition] = Field(default_factory=lambda: dict(DISPOSITIONS))
    callbacks: Callbacks = Field(default_factory=Callbacks)

    @field_validator("dispositions", mode="before")
    @classmethod
    def _over_the_defaults(cls, given: object) -> object:
        return {**DISPOSITIONS, **given} if isinstance(given, dict) else given

    @model_validator(mode="after")
    def _has_its_section(self) -> Dialer:
        for kind, section in ((DialerKind.VICIDIAL, self.vicidial), (DialerKind.QUEUE, self.queue)):
            if self.kind is kind and section is None:
                raise ValueError(f'dialer.{kind.value}: is missing, and dialer.kind = "{kind.value}" needs it')
        return self

    @property
    def pauses_slowly(self) -> bool:
        """Whether the box pauses its remote agent itself, which VICIdial takes its time for."""
        return self.kind is DialerKind.VICIDIAL and self.vicidial is not None and self.vicidial.manage_lines and not self.shadow

    def status_of(self, outcome: str) -> str | None:
        """The status that `outcome` becomes; None when the table has none."""
        return self.dispositions.get(outcome)


class Capacity(_Section):
    """How many calls are talked to at once. One leg more is always accepted: a new call can come before the old BYE.

    Where the dialer can be told, it is asked for fewer while the machine cannot keep up, but never for less than `least`.
    """

    lines: int = Field(default=10, ge=1, le=128)
    least: int = Field(default=1, ge=1, le=128)


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
    dialer: Dialer = Field(default_factory=Dialer)
