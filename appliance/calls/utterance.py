"""One thing the agent says: its clauses, and how much of it the caller really heard."""

from __future__ import annotations

from appliance.audio.formats import RATE_HZ
from appliance.calls.effects import Act


class Utterance:
    """`request` is the mind's request that words it; None for a line that the daemon holds as audio."""

    def __init__(self, number: int, request: int | None, acts: tuple[Act, ...] = ()) -> None:
        self.number = number
        self.request = request
        self.acts = acts
        self.clauses: list[str] = []
        self.worded = False  # the mind has given its last clause
        self._samples: dict[int, int] = {}
        self.played_samples = 0
        self.gap_ms: float | None = None  # from the caller's last speech to our first sample, where this answers
        self._started_at = 0
        self._ended_at = 0
        self._before = 0  # clauses that left under an earlier number

    @property
    def started(self) -> bool:
        """The caller has heard some of it."""
        return self.played_samples > 0

    @property
    def played_s(self) -> float:
        """Seconds of it that have left."""
        return self.played_samples / RATE_HZ

    @property
    def started_s(self) -> float:
        """Call seconds of its first sample."""
        return self._started_at / RATE_HZ

    @property
    def ended_s(self) -> float:
        return self._ended_at / RATE_HZ

    @property
    def all_voiced(self) -> bool:
        """Nothing is needed from the speech engine any more."""
        return self.worded and len(self._samples) == len(self.clauses)

    def voiced(self, clause: int, samples: int) -> None:
        """All audio of `clause` is there. A clause that was not asked for, and a second word on one, are nothing."""
        if clause < len(self.clauses):
            self._samples.setdefault(clause, samples)

    def played(self, samples: int, at_samples: int) -> None:
        """So many samples have left, the last of them at audio time `at_samples`."""
        if not self.started:
            self._started_at = at_samples - samples
        self.played_samples = samples
        self._ended_at = at_samples

    def text(self) -> str:
        """All its words but those that could not be made audible."""
        return " ".join(clause for number, clause in enumerate(self.clauses) if self._samples.get(number) != 0)

    def heard_text(self) -> str:
        """The words that left: whole clauses, and of the one that was cut, as many words as its share of time holds."""
        whole, left = self._heard_whole()
        heard = [clause for number, clause in enumerate(self.clauses[:whole]) if self._samples[number]]
        if whole < len(self.clauses) and left > 0:
            words, samples = self.clauses[whole].split(), self._samples.get(whole)
            # A clause whose length is not known yet: four words a second is ordinary speech.
            count = left / samples * len(words) if samples else left / RATE_HZ * 4
            heard += words[: int(count)]
        return " ".join(heard)

    @property
    def heard_clauses(self) -> int:
        """How many clauses left whole, those before `rest` included."""
        return self._before + self._heard_whole()[0]

    @property
    def left_s(self) -> float:
        """Seconds of it that have not left, of what is voiced so far."""
        return (sum(self._samples.values()) - self.played_samples) / RATE_HZ

    def rest(self, number: int) -> Utterance:
        """What has not been heard, as the new utterance `number`: the clauses that did not leave whole."""
        rest = Utterance(number, self.request, self.acts)
        rest.clauses = self.clauses[self._heard_whole()[0] :]
        rest.worded = self.worded
        rest._before = self.heard_clauses
        return rest

    def _heard_whole(self) -> tuple[int, int]:
        """How many clauses left whole, and how many samples left after them."""
        left = self.played_samples
        for number in range(len(self.clauses)):
            samples = self._samples.get(number)
            if samples is None or left < samples:
                return number, left
            left -= samples
        return len(self.clauses), left
