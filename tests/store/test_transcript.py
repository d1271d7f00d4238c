from __future__ import annotations

import json

from appliance.store.transcript import CallRecord, Turn, as_json, as_text

RECORD = CallRecord(
    id=7,
    call="c7",
    started_at="2026-01-02T03:04:05.000Z",
    caller_name="V123",
    caller_number="4155550123",
    sip_call_id="abc@host",
    outcome="completed",
    slots={"owner": "yes"},
    duration_s=62.04,
    turns=(
        Turn("agent", "Hello. This is Em", 0.1, 2.0, None, True),
        Turn("caller", "yes I do", 59.96, 61.0, None, False),
        Turn("agent", "Thank you.", 61.31, 62.0, 310.4, False),
    ),
)


def test_text_is_for_people() -> None:
    assert as_text(RECORD) == (
        "Call 7 from V123 4155550123\n"
        "Started 2026-01-02T03:04:05.000Z, 01:02.0 long, outcome: completed\n"
        "owner: yes\n"
        "\n"
        "00:00.1  Agent   Hello. This is Em --\n"
        "01:00.0  Caller  yes I do\n"
        "01:01.3  Agent   Thank you.  [after 310 ms]\n"
    )


def test_a_call_of_which_nothing_is_known_has_a_text() -> None:
    text = as_text(CallRecord(1, "c", "2026-01-02T03:04:05Z", "", "", ""))
    assert text.startswith("Call 1 from unknown\n")
    assert "outcome: none yet" in text


def test_json_has_everything() -> None:
    data = json.loads(as_json(RECORD))
    assert data["slots"] == {"owner": "yes"}
    assert data["turns"][2] == {
        "who": "agent",
        "text": "Thank you.",
        "start_s": 61.31,
        "end_s": 62.0,
        "gap_ms": 310.4,
        "cut": False,
    }
