"""What the core asks the shell to do. Frozen, plain data; performed by the daemon with one `match`."""

from __future__ import annotations

import enum

import msgspec


class Effect(msgspec.Struct, frozen=True, tag=True):
    """One thing to do for the call `call`."""

    call: str


class Answer(Effect, frozen=True):
    """Send 200 OK."""


class HangUp(Effect, frozen=True):
    """Send BYE."""


class Prompt(enum.Enum):
    """Lines the daemon itself keeps as audio, so that they sound while every engine is dead."""

    HOLDING = "holding"
    GOODBYE = "goodbye"
    FAREWELL = "farewell"
    BUSY = "busy"
    OVERFLOW = "overflow"


class Say(Effect, frozen=True):
    """Synthesize clause `clause` (counted from 0) of `utterance` and play it after the clauses before it.

    `last` marks the utterance's final clause. An empty `text` (only with `last`) adds nothing and closes the utterance:
    it has been played when the clauses before have.
    """

    utterance: int
    clause: int
    text: str
    last: bool


class Play(Effect, frozen=True):
    """Play a line that the daemon holds, as `utterance`, at once."""

    utterance: int
    prompt: Prompt


class Pause(Effect, frozen=True):
    """Stop playout and keep the place."""


class Resume(Effect, frozen=True):
    """Go on from the kept place."""


class Hush(Effect, frozen=True):
    """Drop what is left of `utterance`; late audio of it is dropped too.

    Ends a `Pause` as well: the playout goes on with the next utterance. No `Say` or `Play` of this one follows.
    """

    utterance: int


class Expect(Effect, frozen=True):
    """Tell the recognizer what the script expects next: the id of a campaign question, None for anything."""

    question: str | None


class Finalize(Effect, frozen=True):
    """Close the caller's stretch of speech `turn` and answer `events.Transcribed`; the next frame starts a new one."""

    turn: int


class Understand(Effect, frozen=True):
    """Ask the mind what `text` means as a reply to `question` (an id of the campaign, None when nothing was asked)."""

    request: int
    question: str | None
    text: str


class ActKind(enum.Enum):
    """What the agent does with a sentence. The wording for each is in the campaign; the mind phrases it."""

    GREET = "greet"
    DISCLOSE = "disclose"
    ASK = "ask"
    REASK = "reask"
    ANSWER = "answer"
    OBJECTION = "objection"
    ACKNOWLEDGE = "acknowledge"
    SORRY = "sorry"
    BACK = "back"
    STILL_THERE = "still_there"
    CLOSE = "close"
    CONNECTING = "connecting"
    NOBODY_FREE = "nobody_free"
    CALLBACK_SET = "callback_set"
    CALLBACK_HOURS = "callback_hours"


class Act(msgspec.Struct, frozen=True):
    """`ref` is the campaign id the kind speaks of: a question, an answer, an objection, an outcome; "" where none.

    `value` goes into the wording where it has a place for it: the time of a callback, the permitted hours.
    """

    kind: ActKind
    ref: str = ""
    value: str = ""


class Phrase(Effect, frozen=True):
    """Ask the mind to put `acts` into words, clause by clause (`events.Phrased`)."""

    request: int
    acts: tuple[Act, ...]


class Forget(Effect, frozen=True):
    """Cancel the mind's work on `request`."""

    request: int


class Release(Effect, frozen=True):
    """Tell the dialer how the call ended, before any BYE. Answered by `events.Released`, unless `gone`.

    `gone`: the caller has hung up just now. Tell the dialer all the same, at once: it often still counts.
    """

    outcome: str
    gone: bool = False


class Transfer(Effect, frozen=True):
    """Hand the caller to a human, with the context. Answered by `events.Released` or `events.TransferFailed`.

    `where` is the question that the script had reached. `overflow`: a call over capacity, which nobody has talked to.
    """

    outcome: str
    slots: dict[str, str]
    where: str
    overflow: bool = False


class OptOut(Effect, frozen=True):
    """The caller wants no more calls: make it last, now. `at_s` is where in the recording they said so. Once per call."""

    at_s: float


class BookCallback(Effect, frozen=True):
    """Call back at `when`, a value of a question of the kind `when`. Answered by `CallbackSet`, `CallbackRefused`
    or `CallbackLost`."""

    when: str


class Speaker(enum.Enum):
    CALLER = "caller"
    AGENT = "agent"


class TurnTaken(Effect, frozen=True):
    """A turn is complete and belongs to the transcript. Times are call seconds (audio time).

    Each speaker's turns come in the order of time and do not overlap; where both spoke at once, the turn that began
    first may come second.

    `text` of an agent's turn is what was really heard: cut where playout was cut. `gap_ms` is, for an agent's turn
    that answers the caller, the time from the caller's last speech to our first sample, as this process saw it.
    """

    who: Speaker
    text: str
    start_s: float
    end_s: float
    gap_ms: float | None = None
    cut: bool = False


class Note(Effect, frozen=True):
    """A line for the journal: why something was decided. Never free text of the caller."""

    kind: str
    data: dict[str, str | int | float | bool | None]


class Concluded(Effect, frozen=True):
    """The call is over. `outcome` is an id of the campaign's outcomes, "busy" for a call over capacity, or "cut_short".

    The last is of a call that we had to end before anything was decided: it was too long, or the box stops.

    `slots` are the captured values, by question id; `where` is the question that the script had reached. `transferred`:
    a human has the caller now. Once per call, and its last effect.
    """

    outcome: str
    slots: dict[str, str]
    duration_s: float
    where: str = ""
    transferred: bool = False


AnyEffect = (
    Answer
    | HangUp
    | Say
    | Play
    | Pause
    | Resume
    | Hush
    | Expect
    | Finalize
    | Understand
    | Phrase
    | Forget
    | Release
    | Transfer
    | OptOut
    | BookCallback
    | TurnTaken
    | Note
    | Concluded
)
