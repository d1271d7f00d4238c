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
        self._ended_at = 0

    @property
    def started(self) -> bool:
        """The caller has heard some of it."""
        return self.played_samples > 0

    @property
    def started_s(self) -> float:
        """Call seconds of its first sample, as if it had been played without a pause."""
        return (self._ended_at - self.played_samples) / RATE_HZ

    @property
    def ended_s(self) -> float:
        return self._ended_at / RATE_HZ

    @property
    def all_voiced(self) -> bool:
        """Nothing is needed from the speech engine any more."""
        return self.worded and len(self._samples) == len(self.clauses)

    def voiced(self, clause: int, samples: int) -> None:
        self._samples[clause] = samples

    def played(self, samples: int, at_samples: int) -> None:
        self.played_samples = samples
        self._ended_at = at_samples

    def heard_text(self) -> str:
        """The words that left: whole clauses, and of the one that was cut, as many words as its share of time holds."""
        heard: list[str] = []
        left = self.played_samples
        for number, clause in enumerate(self.clauses):
            samples = self._samples.get(number)
            if samples is not None and left >= samples:
                heard.append(clause)
                left -= samples
                continue
            if left > 0:
                words = clause.split()
                # A clause whose length is not known yet: four words a second is ordinary speech.
                share = left / samples if samples else left / RATE_HZ * 4 / len(words)
                heard += words[: int(share * len(words))]
            break
        return " ".join(heard)
