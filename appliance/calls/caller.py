"""The caller's side of the talk: stretches of speech, the turn they make, and what of it belongs to the transcript."""

from __future__ import annotations

import msgspec

from appliance.audio.formats import RATE_HZ
from appliance.calls import effects
from appliance.calls.dialogue import Position
from appliance.calls.effects import Speaker
from appliance.calls.events import Heard
from appliance.calls.turns import SpeechTracker


class CallerTurn(msgspec.Struct, frozen=True):
    """What the caller said, not yet in the transcript while our reply may still be taken back."""

    start_samples: int
    end_samples: int
    text: str
    spoken_samples: int
    cut: bool = False  # the call ended before it did


class Caller:
    """`tracker` follows the stretch being spoken, `turn` is what was said before it and is not history yet.

    `before` is where in the script to go back to if the caller goes on; None once it is too late for that. `final` is
    the stretch whose final text is awaited: till it has come, the texts in the rows are of that stretch.
    """

    def __init__(self, call: str) -> None:
        self.tracker = SpeechTracker()
        self.turn: CallerTurn | None = None
        self.before: Position | None = None
        self.final: int | None = None
        self._call = call
        self._earlier_text = ""  # of the piece that was taken back
        self._discard: set[int] = set()  # stretches whose final text is no part of an answer

    @property
    def open_text(self) -> str:
        """Their words that are no history yet, as far as they are known."""
        return " ".join(x for x in (self.turn.text if self.turn else "", self.tracker.text) if x)

    @property
    def open_samples(self) -> int:
        """Audio time at which those words began."""
        return self.turn.start_samples if self.turn else self.tracker.onset_samples

    def row(self, row: Heard) -> Heard:
        """The row, without a text that is of the stretch before."""
        return row if self.final is None or row.text is None else msgspec.structs.replace(row, text=None)

    def close_stretch(self, number: int, position: Position, *, cut: bool = False) -> effects.Finalize:
        """The stretch, with what was taken back before it, is a turn as far as its words are known."""
        t, earlier = self.tracker, self.turn
        self.turn = CallerTurn(
            earlier.start_samples if earlier else t.onset_samples,
            t.last_speech_samples,
            " ".join(x for x in (earlier.text if earlier else "", t.text) if x),
            t.speech_samples + (earlier.spoken_samples if earlier else 0),
            cut,
        )
        # After a stretch without end, what follows is more of it: no reason to take the reply back.
        self.before = None if t.too_long else position
        self._earlier_text = earlier.text if earlier else ""
        self.final = number
        t.clear()
        return effects.Finalize(self._call, number)

    def drop_stretch(self, number: int) -> effects.Finalize:
        """Start the recognizer afresh: what it has heard so far is not part of an answer."""
        self._discard.add(number)
        self.final = number
        return effects.Finalize(self._call, number)

    def answers(self, number: int) -> bool:
        """Whether the final text of stretch `number` is the one awaited, and of use."""
        if number not in self._discard:
            return number == self.final
        self._discard.discard(number)
        self.final = None if self.final == number else self.final
        return False

    def final_text(self, text: str) -> CallerTurn | None:
        """The awaited text has come, or ("") will not: the partial one stands. The turn with it."""
        self.final = None
        if text and self.turn is not None:
            whole = " ".join(x for x in (self._earlier_text, text) if x)
            self.turn = msgspec.structs.replace(self.turn, text=whole)
        return self.turn

    def discard_final(self) -> None:
        """The awaited text will be of a stretch that is taken back: the partial one stands for it."""
        if self.final is not None:
            self._discard.add(self.final)

    def texts_lost(self) -> None:
        """The recognizer is gone, and with it what it owed."""
        self._discard.clear()

    def noise(self) -> None:
        """The turn was none."""
        self.turn = self.before = None

    def gone(self) -> list[effects.TurnTaken]:
        """The turn becomes history: our reply to it is being heard, or there is none to come."""
        turn, self.turn, self.before = self.turn, None, None
        return [] if turn is None else self._taken(turn.text, turn.start_samples, turn.end_samples, cut=turn.cut)

    def stretch_gone(self, *, but: bool = False) -> list[effects.TurnTaken]:
        """What the caller is just saying becomes history as it stands, `but` not: nobody waits for its end."""
        t = self.tracker
        out = [] if but or not t.active else self._taken(t.text, t.onset_samples, t.last_speech_samples, cut=True)
        t.clear()
        return out

    def _taken(self, text: str, start_samples: int, end_samples: int, *, cut: bool) -> list[effects.TurnTaken]:
        if not text:
            return []
        times = (round(start_samples / RATE_HZ, 3), round(end_samples / RATE_HZ, 3))
        return [effects.TurnTaken(self._call, Speaker.CALLER, text, *times, None, cut)]
