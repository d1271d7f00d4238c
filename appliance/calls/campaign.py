"""The campaign: what the agent may say, ask and conclude. The file is the truth; nothing is said that is not in it.

The model is the schema of the TOML file (`appliance.config.load_campaign` reads it). Pure data, frozen.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

Id = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,31}$")]
Line = Annotated[str, StringConstraints(min_length=1, max_length=600, strip_whitespace=True)]
Words = Annotated[str, StringConstraints(min_length=1, max_length=80, to_lower=True, strip_whitespace=True)]

END = "end:"  # "end:<outcome>" as the target of a branch
NEXT = "next"
REPEAT = "repeat"

WHEN = "{when}"  # the place for `Act.value` in the two lines that have one
HOURS = "{hours}"


class SlotKind(enum.StrEnum):
    """What a question's answer looks like. Decides the recognizer's bias and how long to wait for more words."""

    YES_NO = "yes_no"
    CHOICE = "choice"
    NUMBER = "number"
    DIGITS = "digits"
    DATE = "date"
    NAME = "name"
    OPEN = "open"
    WHEN = "when"  # a time to call back; capturing it books the callback


class Builtin(enum.StrEnum):
    """Intents every campaign has; the campaign may add wordings, and must say what each leads to."""

    OPT_OUT = "opt_out"
    HUMAN = "human"
    NOT_INTERESTED = "not_interested"
    GOODBYE = "goodbye"
    REPEAT = "repeat"


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Greeting(_Model):
    """Spoken at once. `disclosure` says that the agent is a machine and that the call is recorded."""

    hello: Line
    disclosure: Line


class Question(_Model):
    """One thing to find out. `on` maps a slot value to "next", "repeat", a question id or "end:<outcome>".

    A value without an entry goes by `otherwise`. `phrases` adds wordings per slot value (for `choice` it is the list
    of choices). `digits` is how many digits a complete answer has (kind `digits`); `least` and `most` bound a sensible
    answer, both included (kind `number`). `aside`: not in the line of questions, only reached by its id; "next" from it is
    its `give_up`.

    A captured `when` is booked with the dialer. The call then ends with the outcome "callback"; where the campaign has
    none, it goes by `otherwise`.
    """

    id: Id
    ask: Line
    reask: Line
    slot: SlotKind
    on: dict[str, str] = Field(default_factory=dict)
    otherwise: str = NEXT
    phrases: dict[str, list[Words]] = Field(default_factory=dict)
    digits: int | None = Field(default=None, ge=1, le=20)
    least: int | None = None
    most: int | None = None
    reasks: int = Field(default=2, ge=0, le=5)
    give_up: str = NEXT
    aside: bool = False


class Reply(_Model):
    """An answer to a common question, or to an objection: wordings that mean it, what to say, where to go then."""

    id: Id
    phrases: list[Words] = Field(min_length=1)
    say: Line
    then: str = REPEAT


class Outcome(_Model):
    """How a call can end. `closing` is the agent's last sentence ("" where the caller is gone).

    `transfer`: hand the caller to a human where the dialer can; the closing is then said only if that fails and there is
    no question of the kind `when` to ask instead.
    """

    id: Id
    closing: str = Field(default="", max_length=600)
    transfer: bool = False


class Lines(_Model):
    """What the agent says outside the script."""

    sorry: Line = "Sorry, I did not catch that."
    back: Line = "Thank you for waiting."
    still_there: Line = "Are you still there?"
    acknowledge: list[Line] = Field(default_factory=lambda: ["Thank you."])
    holding: Line = "One moment please."
    goodbye: Line = "I am sorry, we have a technical problem. Goodbye."
    farewell: Line = "I am sorry, I have to end the call here. Goodbye."
    busy: Line = "I am sorry, all our lines are busy right now. Goodbye."
    overflow: Line = "All our assistants are busy. One moment please, I will put you through."
    connecting: Line = "One moment please, I will see who is free."
    nobody_free: Line = "I am sorry, nobody is free at the moment."
    callback_set: Line = "I have noted that we call you {when}. Goodbye."
    callback_hours: Line = "I am sorry, we may only call {hours}."


# What the product itself concludes; a campaign must say how each is closed.
REQUIRED_OUTCOMES = ("completed", "dnc", "wants_human", "not_interested", "no_input", "hung_up", "technical")
BUILTIN_OUTCOME = {
    Builtin.OPT_OUT: "dnc",
    Builtin.HUMAN: "wants_human",
    Builtin.NOT_INTERESTED: "not_interested",
    Builtin.GOODBYE: "not_interested",
}


# Nobody is there to be handed over, or does not want to be.
_NEVER_TRANSFERRED = frozenset({"dnc", "no_input", "hung_up", "technical", "callback"})


def _bounds_problems(question: Question) -> list[str]:
    least, most = question.least, question.most
    given = {"least": least, "most": most}
    if question.slot is not SlotKind.NUMBER:
        return [f"{key}: only a number has bounds" for key, bound in given.items() if bound is not None]
    if least is not None and most is not None and least > most:
        return [f"least: {least} is above most, {most}"]
    return []


_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_OPEN_LINES = {"lines.callback_set": WHEN, "lines.callback_hours": HOURS}  # what each is filled with when it is said


def _placeholder_problems(where: str, line: str) -> list[str]:
    own = _OPEN_LINES.get(where)
    found = re.findall(r"\{[^}]*\}?|\}", line)
    problems = [f"{where}: '{each}' is neither {{agent}} nor {{company}}" for each in found if each != own]
    return problems if own is None or own in found else [*problems, f"{where}: {own} is missing"]


def _filled(part: Any, names: dict[str, str]) -> Any:
    """`part` of a campaign file with the names in the place of their placeholders."""
    match part:
        case str():
            return _PLACEHOLDER.sub(lambda found: names.get(found[1], found[0]), part)
        case list():
            return [_filled(each, names) for each in part]
        case dict():
            return {key: _filled(each, names) for key, each in part.items()}
        case _:
            return part


class Campaign(_Model):
    """A whole campaign. Every reference between its parts is checked here.

    `{agent}` and `{company}` in a text stand for those two names, and are no longer there in the validated model.
    """

    name: Line
    language: Literal["en"]
    agent: Line
    company: Line
    greeting: Greeting
    questions: list[Question] = Field(min_length=1)
    answers: list[Reply] = Field(default_factory=list)
    objections: list[Reply] = Field(default_factory=list)
    intents: dict[Builtin, list[Words]] = Field(default_factory=dict)
    lines: Lines = Field(default_factory=Lines)
    outcomes: list[Outcome] = Field(min_length=1)

    @model_validator(mode="before")
    @classmethod
    def _names(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        names = {key: data[key] for key in ("agent", "company") if isinstance(data.get(key), str)}
        return {**_filled(data, names), **names}

    @model_validator(mode="after")
    def _references(self) -> Campaign:
        problems: list[str] = []
        outcomes = {o.id for o in self.outcomes}
        questions = {q.id for q in self.questions}
        for name in REQUIRED_OUTCOMES:
            if name not in outcomes:
                problems.append(f"outcomes: '{name}' is missing")
        for builtin in Builtin:
            if not self.intents.get(builtin):
                problems.append(f"intents.{builtin.value}: no wording given")

        def check(where: str, target: str) -> None:
            if target in (NEXT, REPEAT) or target in questions:
                return
            if target.startswith(END) and target.removeprefix(END) in outcomes:
                return
            problems.append(f"{where}: '{target}' is neither next, repeat, a question nor end:<outcome>")

        for i, q in enumerate(self.questions):
            for value, target in q.on.items():
                check(f"questions.{i}.on.{value}", target)
            check(f"questions.{i}.otherwise", q.otherwise)
            check(f"questions.{i}.give_up", q.give_up)
            if q.give_up in (REPEAT, q.id):
                problems.append(f"questions.{i}.give_up: '{q.give_up}' would ask for ever")
            if q.slot is SlotKind.CHOICE and not q.phrases:
                problems.append(f"questions.{i}.phrases: a choice needs its choices")
            if q.slot is SlotKind.DIGITS and q.digits is None:
                problems.append(f"questions.{i}.digits: say how many digits a complete answer has")
            problems += [f"questions.{i}.{problem}" for problem in _bounds_problems(q)]
            if q.aside and q.give_up == NEXT:
                problems.append(f"questions.{i}.give_up: nothing is next to a question aside, say where it leads")
            if q.slot is SlotKind.WHEN and "callback" in outcomes and q.id in self.in_line()[:-1]:
                problems.append(f"questions.{i}.aside: a callback ends the call, so this comes last or aside")
        if not self.in_line():
            problems.append("questions: all are aside, none is asked")
        problems += [
            f"outcomes.{i}.transfer: '{o.id}' has nobody to hand over"
            for i, o in enumerate(self.outcomes)
            if o.transfer and o.id in _NEVER_TRANSFERRED
        ]
        for group, replies in (("answers", self.answers), ("objections", self.objections)):
            for i, reply in enumerate(replies):
                check(f"{group}.{i}.then", reply.then)
        for where, line in self._spoken():
            problems += _placeholder_problems(where, line)
        ids = [q.id for q in self.questions] + [r.id for r in (*self.answers, *self.objections)] + [b.value for b in Builtin]
        for name in sorted({x for x in ids if ids.count(x) > 1}):
            problems.append(f"'{name}': the id is used twice")
        if problems:
            raise ValueError("\n".join(problems))
        return self

    def question(self, question_id: str) -> Question:
        return next(q for q in self.questions if q.id == question_id)

    def in_line(self) -> list[str]:
        """The ids of the questions that are asked one after the other."""
        return [q.id for q in self.questions if not q.aside]

    def has_outcome(self, outcome_id: str) -> bool:
        return any(o.id == outcome_id for o in self.outcomes)

    def outcome(self, outcome_id: str) -> Outcome:
        return next(o for o in self.outcomes if o.id == outcome_id)

    def reply(self, reply_id: str) -> Reply | None:
        """The answer or objection with this id; None for a built-in intent."""
        return next((r for r in (*self.answers, *self.objections) if r.id == reply_id), None)

    def verbatim(self) -> list[str]:
        """Every sentence the script can say word for word, each once: what a voice prepares at load.

        Not the two lines that have a place for a time: their words are known only when they are said.
        """
        return list(dict.fromkeys(line for where, line in self._spoken() if line and where not in _OPEN_LINES))

    def _spoken(self) -> Iterator[tuple[str, str]]:
        """Every line of the agent, with its key path."""
        yield "greeting.hello", self.greeting.hello
        yield "greeting.disclosure", self.greeting.disclosure
        for key, said in self.lines:
            if isinstance(said, str):
                yield f"lines.{key}", said
            else:
                yield from ((f"lines.{key}.{i}", line) for i, line in enumerate(said))
        for i, q in enumerate(self.questions):
            yield f"questions.{i}.ask", q.ask
            yield f"questions.{i}.reask", q.reask
        for group, replies in (("answers", self.answers), ("objections", self.objections)):
            yield from ((f"{group}.{i}.say", reply.say) for i, reply in enumerate(replies))
        yield from ((f"outcomes.{i}.closing", o.closing) for i, o in enumerate(self.outcomes))


_CLAUSE = re.compile(r"(?<=[.!?])\s+")


def clauses(text: str) -> list[str]:
    """`text` cut where a voice may pause: after sentence ends. Never empty for non-blank text."""
    return [c for c in (part.strip() for part in _CLAUSE.split(text)) if c]
