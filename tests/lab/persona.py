"""Who answers the phone: what a customer says to what, how fast, and when they hang up. Data, read from TOML.

A line of speech is text with bracketed parts: "It was built in [0.8] nineteen eighty seven." pauses for 0.8 s inside
the turn; "[hello.wav]" plays a sound file beside the persona's own file; "[beep]" is an answering machine's.
"""

from __future__ import annotations

import math
import re
import tomllib
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from tests.lab.faults import LabError
from tests.lab.voices import LEVEL_DBOV, RATE_HZ, VOICES, Pcm, recorded, spoken

FOLDER = Path(__file__).with_name("personas")
DAY = "day"
_BRACKET = re.compile(r"\[([^\]]+)\]")


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Rule(_Model):
    """What to say to a sentence of the agent that matches the regular expression `when` ("" matches anything).

    `say` is used in order, its last entry again and again. `react_s` counts from the agent's last sound, and cannot be
    shorter than the persona's `patience_s`. `hang_up_after_s` counts from the start of the turn.
    """

    when: str = ""
    say: list[str] = Field(min_length=1)
    react_s: float = Field(default=0.8, ge=0)
    hang_up_after_s: float | None = Field(default=None, ge=0)

    @field_validator("when")
    @classmethod
    def _compiles(cls, value: str) -> str:
        try:
            re.compile(value)
        except re.error as error:
            raise ValueError(f"not a regular expression: {error}") from error
        return value


class Interruption(_Model):
    """Start talking `after_s` seconds into the agent's `turn`-th stretch of speech (counted from 1), once."""

    turn: int = Field(ge=1)
    after_s: float = Field(ge=0)
    say: str


class Persona(_Model):
    """One kind of customer, and what the call must come to when they are understood.

    `outcomes` are the call outcomes that are right; `slots` the answers that must be on record, no more and no fewer, in
    the campaign's words; `agent_says` what the agent must have replied at some time; `caller_turns` at least so many.
    """

    name: str
    about: str
    voice: str = "rms"
    outcomes: list[str] = Field(min_length=1)
    caller_turns: int = Field(default=0, ge=0)
    slots: dict[str, str] = Field(default_factory=dict)
    agent_says: list[str] = Field(default_factory=list)
    ring_s: float = Field(default=0.3, ge=0)
    opening: str = ""
    patience_s: float = Field(default=0.6, ge=0.2)
    rules: list[Rule] = Field(default_factory=list)
    interruptions: list[Interruption] = Field(default_factory=list)
    hang_up_s: float | None = Field(default=None, gt=0)
    gives_up_s: float = Field(default=25.0, gt=0)

    @field_validator("voice")
    @classmethod
    def _known(cls, value: str) -> str:
        if value not in VOICES:
            raise ValueError(f"voices are {', '.join(VOICES)}")
        return value

    def reply(self, agent_said: str, used: dict[int, int]) -> tuple[Rule, str] | None:
        """The rule for what the agent said and the line to say now; `used` counts uses per rule and is updated.

        Where several rules match, the one that matches furthest to the end: people answer what was asked last.
        """
        best: tuple[int, int] | None = None
        for index, rule in enumerate(self.rules):
            ends = [match.end() for match in re.finditer(rule.when, agent_said)]
            if ends and (best is None or ends[-1] > best[0]):
                best = (ends[-1], index)
        if best is None:
            return None
        index = best[1]
        rule, count = self.rules[index], used.get(index, 0)
        used[index] = count + 1
        return rule, rule.say[min(count, len(rule.say) - 1)]

    def lines(self) -> list[str]:
        """Every line this persona can say."""
        return [x for x in (self.opening, *(s for r in self.rules for s in r.say), *(i.say for i in self.interruptions)) if x]


def beep() -> Pcm:
    """What an answering machine asks for a message with: 1 kHz for 0.4 s, as loud as the speech."""
    at = np.arange(round(0.4 * RATE_HZ)) / RATE_HZ
    tone: Pcm = np.round(32768 * 10 ** (LEVEL_DBOV / 20) * math.sqrt(2) * np.sin(2 * math.pi * 1000 * at)).astype(np.int16)
    return tone


def words(line: str) -> str:
    """The line as words: without its pauses."""
    return " ".join(_BRACKET.sub(" ", line).split())


def audio(line: str, voice: str, folder: Path = FOLDER) -> tuple[Pcm, list[tuple[float, float]]]:
    """The line as 8 kHz audio, and where its pauses are, in seconds from its start."""
    parts: list[Pcm] = []
    pauses: list[tuple[float, float]] = []
    at_samples = 0
    for index, piece in enumerate(_BRACKET.split(line)):
        if not piece.strip():
            continue
        if index % 2 == 0:
            parts.append(spoken(piece.strip(), voice))
        elif piece.endswith(".wav"):
            parts.append(recorded(folder / piece))
        elif piece == "beep":
            parts.append(beep())
        else:
            parts.append(np.zeros(round(float(piece) * RATE_HZ), np.int16))
            pauses.append((at_samples / RATE_HZ, (at_samples + len(parts[-1])) / RATE_HZ))
        at_samples += len(parts[-1])
    return (np.concatenate(parts) if parts else np.zeros(0, np.int16)), pauses


def names() -> list[str]:
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def day_names() -> list[str]:
    """Those who have a point only in a campaign day: they need the dialer behind the call, or say nothing at all."""
    return sorted(f"{DAY}/{path.stem}" for path in (FOLDER / DAY).glob("*.toml"))


def load(name: str) -> Persona:
    """A persona by name or by the path of its file. Raises LabError with every problem of the file."""
    path = Path(name) if name.endswith(".toml") else FOLDER / f"{name}.toml"
    if not path.exists():
        raise LabError(f"no persona is called '{name}'", hint=f"personas are {', '.join(names())}")
    try:
        return Persona.model_validate({"name": path.stem, **tomllib.loads(path.read_text())})
    except tomllib.TOMLDecodeError as error:
        raise LabError(f"{path}: {error}") from error
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, x['loc']))}: {x['msg']}" for x in error.errors())
        raise LabError(f"{path}: {problems}") from error
