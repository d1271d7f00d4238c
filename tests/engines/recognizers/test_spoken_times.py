"""Times to call back, from a synthetic caller through a telephone to the value: a floor against breakage."""

from __future__ import annotations

from appliance.engines.minds.when import when
from appliance.engines.minds.words import tokens
from appliance.engines.recognizers.pocketsphinx import make
from appliance.engines.voices import flite
from tests.engines.minds.test_when import asking
from tests.engines.telephone import samples_of, through_telephone

SAID = {
    "tomorrow after lunch": "+1d after_lunch",
    "monday at ten": "mon 10:00~",
    "this evening": "+0d evening",
    "tonight at seven thirty": "+0d 19:30",
    "the day after tomorrow at noon": "+2d 12:00",
    "at three p m": "15:00",
    "on the fifth of december": "12-05",
    "in half an hour": "+30m",
    "you can call me on thursday at two": "thu 02:00~",
    "tomorrow at three thirty": "+1d 03:30~",
}


def test_a_synthetic_caller_is_understood() -> None:
    recognizer, voice = make(asking()), flite.make("rms")
    wrong: list[str] = []
    for said, value in SAID.items():
        stream = recognizer.open()
        stream.expect("call_at")
        stream.accept(through_telephone(samples_of(b"".join(voice.synthesize(said)))))
        recognizer.decode([stream])
        text = stream.finish()
        found = when(tokens(text))
        if found is None or found[0] != value:
            wrong.append(f"{said!r} heard as {text!r}")
    assert len(wrong) <= 2, "\n".join(wrong)
