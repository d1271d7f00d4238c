"""The lab's scenarios: one function and one line in SCENARIOS each."""

from __future__ import annotations

import random
import socket
import tempfile
import time
import tomllib
from collections.abc import Callable
from pathlib import Path

from appliance.api import wire
from appliance.calls.campaign import Campaign
from tests.lab import persona
from tests.lab.appliance import CAMPAIGN
from tests.lab.bench import Bench, CallRecord, Happening
from tests.lab.dialer.day import dialer_day
from tests.lab.kills import MOMENTS, Kill, Killer, filed, hit, judge
from tests.lab.meter import Report
from tests.lab.processes import HOST
from tests.lab.reference import calibrate as calibrate_meter
from tests.lab.talk import Options, Verdict, bring_up, conclude, follow
from tests.lab.talk import talk as place_calls

BACK_LIMIT_S = 5.0
AT_A_TIME = 3  # personas


def talk(options: Options) -> Verdict:
    """calls with one persona (--persona, --calls)"""
    return place_calls(options)


def personas(options: Options) -> Verdict:
    """every persona once, up to three at a time: outcome, answers on record and replies as they should be"""
    with bring_up(options, persona.names(), lines=AT_A_TIME) as bench:
        waiting = list(bench.records)

        def all_done() -> bool:
            while waiting and len(bench.active()) < AT_A_TIME:
                options.show.calling(waiting[0])
                bench.place(waiting.pop(0))
            return not waiting and bench.all_over()

        follow(bench, options.show, until=all_done)
        verdict, reports = conclude(bench, options.show)
    verdict.data["personas"] = {
        record.persona.name: {
            "outcome": record.ended.outcome if record.ended else None,
            "slots": record.ended.slots if record.ended else {},
            "cut_offs": {"n": len(report.cut_offs), "of": report.judged},
            "problems": record.problems(),
        }
        for record, report in zip(bench.records, reports, strict=True)
    }
    return verdict


def parallel(options: Options) -> Verdict:
    """ten calls at once (or --calls), all answered, none in the voicemail box"""
    count = options.calls if options.calls > 1 else 10
    mixed = ["interested", "not_interested", "asks_removal", "asks_human"]
    kinds = mixed if options.persona == "interested" else [options.persona]
    with bring_up(options, [kinds[i % len(kinds)] for i in range(count)]) as bench:
        bench.place_all()
        follow(bench, options.show)
        verdict, reports = conclude(bench, options.show)
        media = bench.appliance.status().media
    verdict.data["path_ms"] = {"p50": media.path_p50_ms, "p99": media.path_p99_ms, "max": media.path_max_ms}
    verdict.data["longest_wait_s"] = round(max(report.wait.seconds for report in reports), 2)
    verdict.data["wire_late_ms"] = {"p99": round(max(report.lateness.p99_ms for report in reports), 1)}
    path = f"p50 {media.path_p50_ms:.1f} ms  p99 {media.path_p99_ms:.1f} ms  max {media.path_max_ms:.1f} ms"
    options.show.figure("frame path", f"{path}  {media.late_frames} frames over 5 ms late")
    return verdict


def restart_idle(options: Options) -> Verdict:
    """the dialer is killed and comes back without its registrations; a call right after must reach the agent"""
    with bring_up(options, [options.persona]) as bench:
        away_s = bench.asterisk.restart()
        back_s = bench.asterisk.wait_registered(60)
        options.show.step(f"the dialer was away for {away_s:.1f} s; registered again {back_s:.1f} s after it was back")
        bench.place_all()
        follow(bench, options.show)
        verdict, _ = conclude(bench, options.show)
    verdict.data["registered_again_s"] = round(back_s, 2)
    if back_s > BACK_LIMIT_S:
        verdict.problems.append(f"registered again only after {back_s:.1f} s, limit {BACK_LIMIT_S:.0f} s")
    return verdict


def restart_in_call(options: Options) -> Verdict:
    """the dialer is killed during a call; that call ends in an outcome, the next one is taken"""
    with bring_up(options, [options.persona] * 2) as bench:
        first, second = bench.records
        bench.place(first)
        killed: list[float] = []

        def kill(bench: Bench, record: CallRecord, turn: wire.TurnHappened) -> None:
            if turn.who == "caller" and not killed:
                options.show.step("the dialer is killed and started again")
                bench.asterisk.restart()
                killed.append(time.monotonic())

        follow(bench, options.show, on_turn=kill, until=lambda: bool(killed))
        back_s = bench.asterisk.wait_registered(60)
        bench.place(second)
        follow(bench, options.show, until=lambda: second.over and first.ended is not None)
        verdict, _ = conclude(bench, options.show, expect=False)
    verdict.problems += second.problems()
    verdict.data["registered_again_s"] = round(back_s, 2)
    verdict.data["first_outcome"] = first.ended.outcome if first.ended else None
    if back_s > BACK_LIMIT_S:
        verdict.problems.append(f"registered again only after {back_s:.1f} s, limit {BACK_LIMIT_S:.0f} s")
    if first.ended is None or not first.ended.outcome:
        verdict.problems.append("the call that the dialer dropped has no outcome")
    return verdict


def kill_speech(options: Options) -> Verdict:
    """kill -9 the speech worker in three calls, at three moments: at most 2 s of silence, and all go on"""
    return _kill(options, "speech")


def kill_mind(options: Options) -> Verdict:
    """kill -9 the mind worker in three calls, at three moments: at most 2 s of silence, and all go on"""
    return _kill(options, "mind")


def _kill(options: Options, part: str) -> Verdict:
    """The second call is placed when the first caller talks for the first time, the third when they do again."""
    with bring_up(options, [options.persona] * len(MOMENTS)) as bench:
        killer = Killer(bench, part, options.show)
        later = bench.records[1:]
        bench.place(bench.records[0])

        def event(record: CallRecord | None, happening: Happening) -> None:
            if isinstance(happening, wire.EngineChanged):
                killer.engine(happening)
            elif isinstance(happening, dict) and record is not None:
                if happening["kind"] == "talks" and record is bench.records[0] and later:
                    bench.place(later.pop(0))
                killer.event(record, happening)

        follow(bench, options.show, on_event=event, until=lambda: not later and bench.all_over())
        verdict, reports = conclude(bench, options.show, expect=False)
    return _judged(options, verdict, killer.kills, list(zip(bench.records, reports, strict=True)), killer.done)


def _judged(
    options: Options, verdict: Verdict, kills: list[Kill], calls: list[tuple[CallRecord, Report]], done: bool
) -> Verdict:
    holding = Campaign.model_validate(tomllib.loads(CAMPAIGN.read_text())).lines.holding
    if not done:
        verdict.problems.append("a moment did not come, so that not every kill was made")
    after = [found for kill in kills for record, report in calls if (found := judge(kill, record, report, holding)) is not None]
    for kill in kills:
        report = next(report for record, report in calls if record.number == kill.number)
        if not hit(kill, report):
            verdict.problems.append(f"the kill missed its moment '{kill.moment}' on the wire")
    options.show.aftermaths([found.row() for found in after])
    verdict.problems += [problem for found in after for problem in found.problems()]
    verdict.problems += [problem for record, _ in calls for problem in filed(record)]
    verdict.data["kills"] = [found.row() for found in after]
    verdict.data["longest_silence_s"] = max((found.row()["silence_s"] for found in after), default=None)
    return verdict


def drain(options: Options) -> Verdict:
    """SIGTERM in a call: it goes on to its end; a second call placed then does not reach the agent; a clean end"""
    with bring_up(options, [options.persona, "silent"], drain_s=120) as bench:
        first, second = bench.records
        bench.place(first)
        asked_at_turn: list[int] = []

        def stop(bench: Bench, record: CallRecord, turn: wire.TurnHappened) -> None:
            if turn.who == "caller" and not asked_at_turn:
                options.show.step("SIGTERM")
                asked_at_turn.append(len(first.turns))
                bench.drain_began = True
                bench.appliance.terminate()
            elif asked_at_turn and not second.placed_at_s:
                bench.place(second)

        follow(bench, options.show, on_turn=stop, until=lambda: first.over and second.placed_at_s > 0)
        status = bench.appliance.wait(20)
        gone = not bench.asterisk.registered()
        met = _met(bench, second)
        options.show.step(f"the call placed while draining met: {met}")
        verdict, _ = conclude(bench, options.show, expect=False, mailbox_ok=True)
    turns_after = len(first.turns) - asked_at_turn[0] if asked_at_turn else 0
    verdict.problems += [f"{first.number}: {p}" for p in first.problems()]
    verdict.data |= {"exit_status": status, "unregistered": gone, "second_call": met, "turns_after_sigterm": turns_after}
    if turns_after < 2:
        verdict.problems.append("SIGTERM did not come in the middle of the call, or the call did not go on")
    if met not in (VOICEMAIL, BUSY_LINE):
        verdict.problems.append(f"the call placed while draining met: {met}")
    if status != 0:
        verdict.problems.append(f"the appliance ended with {status}, expected 0")
    if not gone:
        verdict.problems.append("the phone is still registered after the drain")
    return verdict


VOICEMAIL, BUSY_LINE = "the dialer's voicemail", "the busy line"


def _met(bench: Bench, record: CallRecord) -> str:
    """What a customer met who was called while the appliance drained."""
    for one in bench.asterisk.voicemail_hits():
        if one.number == record.number:
            return VOICEMAIL
    if record.ended is not None:
        return BUSY_LINE if record.ended.outcome == "busy" else f"a call with outcome {record.ended.outcome}"
    return "the agent" if record.call else "nothing"


_MALFORMED = (
    b"INVITE sip:8371@127.0.0.1 SIP/2.0\r\n\r\n",
    b"INVITE sip:\xff\xfe@\x00 SIP/2.0\r\nVia: SIP/2.0/UDP x\r\nContent-Length: 99999\r\n\r\nv=0",
    b"SIP/2.0 200 OK\r\nCSeq: 1 REGISTER\r\n\r\n",
    b"BYE sip:8371@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:9;branch=z9hG4bKx\r\nFrom: <sip:a>\r\nTo: <sip:b>;tag=1\r\n"
    b"Call-ID: nobody\r\nCSeq: 1 BYE\r\n\r\n",
    b"OPTIONS " + b"A" * 4000 + b" SIP/2.0\r\n\r\n",
    b"\r\n\r\n\x00\x00\x00",
)


def garbage(options: Options) -> Verdict:
    """random RTP and malformed SIP thrown at the appliance's ports during a call, which must not notice"""
    with bring_up(options, [options.persona]) as bench:
        bench.place_all()
        rng = random.Random(1)
        thrown = 0

        def throw(bench: Bench, record: CallRecord, turn: wire.TurnHappened) -> None:
            nonlocal thrown
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
                for port in [*bench.appliance.rtp_ports, *[bench.appliance.sip_port] * 20]:
                    noise = rng.randbytes(rng.randrange(1, 400))
                    for data in (noise, b"\x80\x00" + noise, rng.choice(_MALFORMED)):
                        out.sendto(data, (HOST, port))
                        thrown += 1

        follow(bench, options.show, on_turn=throw)
        options.show.step(f"{thrown} bad datagrams were thrown")
        verdict, _ = conclude(bench, options.show)
        if not bench.appliance.running:
            verdict.problems.append("the appliance ended")
    verdict.data["thrown"] = thrown
    return verdict


def calibrate(options: Options) -> Verdict:
    """the wire meter against an answerer with a hidden known delay: within 20 ms"""
    with tempfile.TemporaryDirectory() as folder:
        made = calibrate_meter(Path(folder))
    options.show.step(f"{made.n} of {made.of} gaps measured, bias {made.bias_ms:+.1f} ms, worst error {made.worst_ms:.1f} ms")
    data = {"n": made.n, "of": made.of, "bias_ms": round(made.bias_ms, 2), "worst_ms": round(made.worst_ms, 2)}
    return Verdict([] if made.good else ["the meter is off by more than 20 ms, or discards too much"], data)


SCENARIOS: dict[str, Callable[[Options], Verdict]] = {
    "talk": talk,
    "personas": personas,
    "parallel": parallel,
    "restart_idle": restart_idle,
    "restart_in_call": restart_in_call,
    "kill_speech": kill_speech,
    "kill_mind": kill_mind,
    "drain": drain,
    "garbage": garbage,
    "calibrate": calibrate,
    "dialer-day": dialer_day,
}
