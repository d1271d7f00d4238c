"""What a run of calls came to, as data: the JSON that `run --json` ends with."""

from __future__ import annotations

from typing import Any

from tests.lab.bench import Bench, CallRecord, gaps_of_turns
from tests.lab.meter import Report, percentiles


def call_result(record: CallRecord, report: Report) -> dict[str, Any]:
    """One call. `gap_ms` of a turn is the wire's."""
    gaps = gaps_of_turns(record, report)
    return {
        "answered": record.answered_at_s is not None and bool(record.call),
        "outcome": record.ended.outcome if record.ended else None,
        "turns": [
            {
                "who": turn.who,
                "text": turn.text,
                "start_s": round(turn.start_s, 3),
                "end_s": round(turn.end_s, 3),
                "gap_ms": None if gap is None else round(gap),
            }
            for turn, gap in zip(record.turns, gaps, strict=True)
        ],
        "recording": record.ended.recording if record.ended else None,
        "transcript": record.ended.transcript if record.ended else None,
    }


def run_result(bench: Bench, reports: list[Report]) -> dict[str, Any]:
    """All calls of a bench."""
    return {
        "calls": [call_result(r, report) for r, report in zip(bench.records, reports, strict=True)],
        "gap_ms": percentiles([gap.gap_ms for report in reports for gap in report.gaps]),
        "cut_offs": {"n": sum(len(r.cut_offs) for r in reports), "of": sum(r.judged for r in reports)},
        "media": {
            "late_frames": bench.media.late_frames,
            "underruns": bench.media.underruns,
            "overruns": bench.media.overruns,
        },
        "voicemail_box_hits": len(bench.asterisk.voicemail_hits()),
    }
