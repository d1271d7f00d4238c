"""How a customer behaves in a call: when to listen, answer, interrupt, give up. Pure: takes `now`, returns actions.

All times are monotonic seconds. The agent's audio comes in as one loud-or-not per 20 ms frame.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from tests.lab.persona import Interruption, Persona

ONSET_FRAMES = 3  # loud frames in a row that make a beginning: clicks and comfort noise do not


@dataclass(frozen=True)
class Say:
    """Speak this line; hang up so many seconds after its start, if given."""

    line: str
    hang_up_after_s: float | None = None


@dataclass(frozen=True)
class Recognize:
    """Find out what the agent said since the customer last spoke, and tell `heard`."""


@dataclass(frozen=True)
class HangUp:
    reason: str


Action = Say | Recognize | HangUp


class State(enum.Enum):
    WAITING = "waiting"  # nobody speaks
    LISTENING = "listening"  # the agent speaks
    RECOGNIZING = "recognizing"  # the agent has spoken, the words are being found
    ABOUT_TO_SPEAK = "about to speak"
    SPEAKING = "speaking"
    GONE = "gone"


class Performance:
    """One call of one persona. Call `answered` once, then `agent` per frame, and `step` as often as the frames come."""

    def __init__(self, persona: Persona) -> None:
        self.persona = persona
        self.state = State.WAITING
        self.agent_turns = 0
        self._answered_at = 0.0
        self._loud_run = 0
        self._agent_talks = False
        self._agent_began_at = 0.0
        self._agent_last_at = 0.0
        self._quiet_since = 0.0
        self._used: dict[int, int] = {}
        self._next: Say | None = None
        self._speak_at = 0.0
        self._hang_up_at: float | None = None
        self._interruptions: list[Interruption] = list(persona.interruptions)

    def answered(self, now: float) -> None:
        self._answered_at = self._quiet_since = self._agent_last_at = now
        if self.persona.opening:
            self._plan(Say(self.persona.opening), now + 0.2)

    def agent(self, loud: bool, now: float) -> None:
        """One frame of the agent's audio arrived."""
        self._loud_run = self._loud_run + 1 if loud else 0
        if loud:
            self._quiet_since = now
        if self._loud_run >= ONSET_FRAMES:
            if not self._agent_talks:
                self._agent_talks = True
                self._agent_began_at = now - ONSET_FRAMES * 0.02
                self.agent_turns += 1
            self._agent_last_at = now
            if self.state in (State.WAITING, State.RECOGNIZING, State.ABOUT_TO_SPEAK):
                self.state = State.LISTENING  # the agent goes on: whatever was planned is out of date
        elif self._agent_talks and now - self._agent_last_at >= self.persona.patience_s:
            self._agent_talks = False

    def heard(self, said: str, now: float) -> None:
        """What `Recognize` found. Ignored where the agent has gone on talking meanwhile."""
        if self.state is not State.RECOGNIZING:
            return
        self.state = State.WAITING
        found = self.persona.reply(said, self._used)
        if found is not None:
            rule, line = found
            self._plan(Say(line, rule.hang_up_after_s), max(now, self._agent_last_at + rule.react_s))

    def spoken(self, now: float) -> None:
        """The line is out completely."""
        self._quiet_since = now
        if self.state is State.SPEAKING:
            self.state = State.LISTENING if self._agent_talks else State.WAITING

    def ended(self) -> None:
        """The call is over."""
        self.state = State.GONE

    def step(self, now: float) -> list[Action]:
        """What to do now."""
        if self.state is State.GONE:
            return []
        if self._due(self._hang_up_at, now):
            return self._leave("mid-sentence")
        if self.persona.hang_up_s is not None and now - self._answered_at >= self.persona.hang_up_s:
            return self._leave("time")
        if self.state is State.LISTENING and not self._agent_talks:
            self.state = State.RECOGNIZING
            return [Recognize()]
        if self.state is State.LISTENING and (interruption := self._interruption(now)) is not None:
            return [self._speak(Say(interruption.say), now)]
        if self.state is State.ABOUT_TO_SPEAK and self._next is not None and now >= self._speak_at:
            return [self._speak(self._next, now)]
        if self.state is not State.SPEAKING and now - self._quiet_since >= self.persona.gives_up_s:
            return self._leave("nobody talks")
        return []

    @staticmethod
    def _due(at: float | None, now: float) -> bool:
        return at is not None and now >= at

    def _interruption(self, now: float) -> Interruption | None:
        for one in self._interruptions:
            if one.turn == self.agent_turns and now - self._agent_began_at >= one.after_s:
                self._interruptions.remove(one)
                return one
        return None

    def _plan(self, say: Say, at: float) -> None:
        self._next, self._speak_at, self.state = say, at, State.ABOUT_TO_SPEAK

    def _speak(self, say: Say, now: float) -> Say:
        self.state, self._next, self._quiet_since = State.SPEAKING, None, now
        if say.hang_up_after_s is not None:
            self._hang_up_at = now + say.hang_up_after_s
        return say

    def _leave(self, reason: str) -> list[Action]:
        self.state = State.GONE
        return [HangUp(reason)]
