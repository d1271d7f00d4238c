"""The command as an operator types it: real processes, what they print, how they exit."""

from __future__ import annotations

import asyncio
import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from appliance import cli
from appliance.api.server import ApiServer
from appliance.dialers.protocol import Delivery, EntryKind
from appliance.engines import registry
from appliance.store.outbox import OutboxStore
from tests.api.test_wire import STATUS
from tests.box import PASSWORD, Box, eventually, sidetone
from tests.sip.test_line import invite

BROKEN_CAMPAIGN = """
name = ""
language = "tlh"
agent = "Eve"
compani = "Example"

[greeting]
hello = "Hello."

[[questions]]
id = "owner"
ask = "Do you own it?"
reask = "Is it yours?"
slot = "yesno"
on = { yes = "end:nowhere" }

[[outcomes]]
id = "completed"
"""


@pytest.fixture
def box(tmp_path: Path) -> Box:
    return Box(tmp_path)


@pytest.mark.parametrize("name", ["run", "check"])
def test_every_problem_of_a_campaign_is_told_at_once(box: Box, name: str) -> None:
    campaign = box.folder / "campaign.toml"
    campaign.write_text(BROKEN_CAMPAIGN)
    box.settings["campaign"] = "campaign.toml"
    box.write()
    done = box.command(name)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith(f"error: {campaign}: ")
    for said in (
        "name: should have at least 1 character",
        "language: should be 'en'",
        "company: is missing",
        "compani: unknown key, did you mean 'company'?",
        "greeting.disclosure: is missing",
        "questions.0.slot: should be 'yes_no'",
        "questions.0.on.yes: 'end:nowhere' is neither",
        "outcomes: 'dnc' is missing",
    ):
        assert f"\n  {said}" in done.stderr


def test_every_problem_of_the_settings_is_told_at_once_and_no_secret(box: Box) -> None:
    box.settings["sip"] |= {"port": 99999, "pasword": PASSWORD, "codecs": []}
    box.settings["limits"] = {"drain_s": PASSWORD}
    box.settings["paths"]["runtime"] = "/tmp/" + "x" * 110
    del box.settings["sip"]["registrar"]
    box.write()
    done = box.command("run")
    assert done.returncode == 2
    for said in (
        "sip.port: should be less than or equal to 65535",
        "sip.pasword: unknown key, did you mean 'password'?",
        "sip.registrar: is missing",
        "sip.codecs: ",
        "limits.drain_s: should be a valid number",
        "paths.runtime: is too long for a socket's folder, at most 90 bytes",
    ):
        assert f"\n  {said}" in done.stderr
    assert PASSWORD not in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("name", ["run", "check"])
def test_engines_that_nobody_knows_are_told_with_those_that_there_are(box: Box, name: str) -> None:
    box.settings["engines"] |= {"recognizer": "whisper", "voice": "piperr", "vad": "silero", "mind": ["gpt", "scripted"]}
    box.write()
    done = box.command(name)
    assert done.returncode == 2
    assert "engines.recognizer: there is no 'whisper', choose from null, pocketsphinx" in done.stderr
    assert "engines.vad: there is no 'silero', choose from level, pocketsphinx" in done.stderr
    assert "engines.voice: there is no 'piperr', choose from flite, tone" in done.stderr
    assert "engines.mind.0: there is no 'gpt', choose from echo, scripted" in done.stderr
    assert "Traceback" not in done.stderr
    assert not box.state.exists()


@pytest.mark.parametrize("name", ["run", "check"])
def test_settings_engines_and_campaign_are_told_at_once(box: Box, name: str) -> None:
    (box.folder / "campaign.toml").write_text(BROKEN_CAMPAIGN)
    box.settings["campaign"] = "campaign.toml"
    box.settings["sip"]["port"] = 99999
    box.settings["engines"] |= {"voice": "piperr", "mind": ["No Such", "gpt"]}
    box.write()
    done = box.command(name)
    assert (done.returncode, done.stdout) == (2, "")
    of_settings, of_campaign = done.stderr.removeprefix("error: ").split("\nerror: ")
    assert of_settings.startswith(f"{box.config}: 4 problems\n")
    for said in (
        "sip.port: ",
        "engines.mind.0: has a character",
        "engines.voice: there is no 'piperr'",
        "engines.mind.1: there",
    ):
        assert f"\n  {said}" in of_settings
    assert of_campaign.startswith(f"{box.folder}/campaign.toml: ")
    assert "\n  company: is missing" in of_campaign
    assert PASSWORD not in done.stderr
    assert "Traceback" not in done.stderr


def test_check_tells_what_does_not_load_beside_a_wrong_campaign(box: Box) -> None:
    box.settings["engines"] |= {"voice": "flite", "speaker": "hal"}
    box.settings["campaign"] = "nowhere.toml"
    box.write()
    done = box.command("check")
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {box.folder}/nowhere.toml: there is no such file\n  hint: ")
    assert "\nerror: voice flite: no speaker 'hal'\n" in done.stderr


def in_this_process(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int | str | None, str, str]:
    """Exit code and both outputs: for what can only be arranged here."""
    with pytest.raises(SystemExit) as ended:
        cli.main([str(argument) for argument in arguments])
    out, err = capsys.readouterr()
    return ended.value.code, out, err


def test_check_makes_the_minds_and_passes_over_one_that_another_can_replace(
    box: Box, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(registry.MINDS, "absent", registry.Backend("no_such_package_here.mind", "no-such-package"))
    monkeypatch.setitem(registry.MINDS, "broken", registry.Backend("tests.engines.broken"))
    box.settings["engines"]["mind"] = ["absent", "broken", "scripted"]
    box.write()
    code, out, err = in_this_process(capsys, "check", "--config", box.config)
    assert code == 0
    assert "good" in out
    first, second = err.splitlines()
    assert first.startswith("warning: engines.mind: 'absent' is not installed")
    assert second.startswith("warning: engines.mind: 'broken' does not load (ZeroDivisionError: ")
    box.settings["engines"]["mind"] = ["absent", "broken"]
    box.write()
    code, out, err = in_this_process(capsys, "check", "--config", box.config)
    assert (code, out) == (2, "")
    assert err.count("error: engines.mind: ") == 2
    assert "hint: pip install no-such-package\n" in err


@pytest.mark.parametrize(("mode", "warned"), [(0o600, False), (0o400, False), (0o640, True), (0o604, True)])
def test_a_password_that_others_can_read_is_warned_of(box: Box, mode: int, warned: bool) -> None:
    box.config.chmod(mode)
    done = box.command("check")
    assert done.returncode == 0
    line = f"warning: {box.config}: has a password and is open to others (mode {mode:o}): chmod 600 {box.config}\n"
    assert done.stderr == (line if warned else "")


@pytest.mark.parametrize("name", ["run", "check"])
def test_a_speaker_that_the_voice_does_not_have(box: Box, name: str) -> None:
    box.settings["engines"] |= {"voice": "flite", "speaker": "hal"}
    box.write()
    done = box.command(name)
    assert done.returncode == 2
    assert "error: voice flite: no speaker 'hal'\n  hint: engines.speaker is one of slt" in done.stderr
    assert "Traceback" not in done.stderr


def test_no_settings_file_leads_to_the_example(tmp_path: Path) -> None:
    done = sidetone("run", "--config", tmp_path / "sidetone.toml")
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {tmp_path}/sidetone.toml: there is no such file\n  hint: copy the commented ")
    example = Path(done.stderr.split("commented ")[1].split()[0])
    assert "[sip]" in example.read_text()


def test_no_campaign_file_names_the_key(box: Box) -> None:
    box.settings["campaign"] = "campains/home.toml"
    box.write()
    done = box.command("check")
    assert done.returncode == 2
    assert done.stderr == (
        f"error: {box.folder}/campains/home.toml: there is no such file\n  hint: the key campaign of the settings names it\n"
    )


def test_good_settings_are_called_good(box: Box) -> None:
    done = box.command("check")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{box.config}: good. Campaign 'Home insurance qualification' asks 6 questions.\n"


def test_status_where_nothing_runs(box: Box) -> None:
    done = box.command("status")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"error: {box.runtime}/api.sock: no sidetone is running here\n  hint: start it: sidetone run\n"
    done = box.command("status", "--json")
    assert done.returncode == 2
    assert json.loads(done.stdout) == {
        "health": {"level": "critical", "problems": [f"{box.runtime}/api.sock: no sidetone is running here"]}
    }


def test_alarms_and_refused_strangers_are_told(tmp_path: Path) -> None:
    with Box(tmp_path) as box:
        section = {"url": "http://127.0.0.1:9", "user": "bot", "password": "x", "agent_user": "9001", "campaign": "C"}
        box.settings["dialer"] = {"kind": "vicidial", "vicidial": section}
        box.write()
        box.start()
        eventually(lambda: "api_down: " in box.log, "an alarm")
        alarm, *_ = json.loads(box.command("status", "--json").stdout)["alarms"]
        assert alarm["kind"] == "api_down"
        assert "http://127.0.0.1:9/" in alarm["message"]
        assert invite(box.sip_port, "0 PCMU/8000", "127.0.0.3").startswith("SIP/2.0 403")
        shown = box.command("status").stdout
        assert f"Alarm         {alarm['at']}  api_down  {alarm['message']}\n" in shown
        assert "Calls         0 of 4 lines, 1 of strangers were refused\n" in shown


@pytest.mark.parametrize("more", [(), ("--json",)])
def test_calls_where_nothing_ever_ran(box: Box, more: tuple[str, ...]) -> None:
    done = box.command("calls", *more)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"error: {box.state}/sidetone.db: there is no journal yet\n  hint: ")


def test_calls_of_a_damaged_journal(box: Box) -> None:
    box.state.mkdir()
    (box.state / "sidetone.db").write_bytes(b"no database " * 100)
    done = box.command("calls")
    assert done.returncode == 1
    assert "sidetone.db: cannot be read: file is not a database" in done.stderr
    assert "Traceback" not in done.stderr


def test_drain_where_nothing_runs(box: Box) -> None:
    done = box.command("drain")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"error: {box.runtime}/api.sock: no sidetone is running here\n  hint: start it: sidetone run\n"


def test_drain_stops_what_runs(tmp_path: Path) -> None:
    with Box(tmp_path) as box:
        box.start()
        done = box.command("drain")
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout == "draining: no new calls; sidetone stops now\n"
        assert box.ended(10) == 0


@pytest.mark.parametrize(
    ("calls", "more", "limit_s", "said"),
    [
        (1, (), None, "when the running call has ended, after limits.drain_s at the latest"),
        (2, ("--limit", "7.5"), 7.5, "when the last of 2 calls has ended, after 7.5 s at the latest"),
    ],
)
def test_drain_tells_how_many_calls_may_go_on(
    box: Box, calls: int, more: tuple[str, ...], limit_s: float | None, said: str
) -> None:
    asked: list[float | None] = []
    status = msgspec.structs.replace(STATUS, calls=STATUS.calls[:1] * calls)

    async def drain() -> subprocess.CompletedProcess[str]:
        server = ApiServer(box.runtime / "api.sock", snapshot=lambda: status, drain=asked.append, retry_outbox=lambda: None)
        await server.start()
        try:
            return await asyncio.to_thread(box.command, "drain", *more)
        finally:
            await server.stop()

    done = asyncio.run(drain())
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"draining: no new calls; sidetone stops {said}\n"
    assert asked == [limit_s]


@pytest.fixture
def outbox(box: Box) -> Iterator[OutboxStore]:
    """What the appliance that runs here owes its dialer."""
    with closing(OutboxStore(box.state / "outbox.db")) as store:
        yield store


def test_nothing_is_owed(box: Box, outbox: OutboxStore) -> None:
    done = box.command("outbox")
    assert (done.returncode, done.stdout, done.stderr) == (0, "nothing is owed to the dialer\n", "")
    assert json.loads(box.command("outbox", "--json", "--all").stdout) == []


@pytest.mark.parametrize(("age_s", "code"), [(0, 0), (250, 0), (301, 1)])
def test_what_is_owed_and_how_old_it_is(box: Box, outbox: OutboxStore, age_s: float, code: int) -> None:
    outbox.add(EntryKind.SETTLE, "V1", 7, {"status": "NI"}, time.time() - age_s)
    done = box.command("outbox", "--json")
    assert done.returncode == code
    [owed] = json.loads(done.stdout)
    assert (owed["kind"], owed["call_id"], owed["lead_id"], owed["closed_at"]) == ("settle", "V1", 7, None)
    assert box.command("outbox").returncode == code


def test_what_is_parked_is_an_exit_code_and_what_was_delivered_is_not_owed(box: Box, outbox: OutboxStore) -> None:
    for lead in (7, 8):
        outbox.add(EntryKind.DNC, "", lead, {"phone": f"415555000{lead}", "scope": "C"}, time.time())
    outbox.done(1, Delivery.ALREADY, time.time())
    outbox.park(2, "no such lead")
    done = box.command("outbox")
    assert done.returncode == 1
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["Id", "2"]
    assert "parked" in done.stdout
    assert "no such lead" in done.stdout
    assert [row["what"] for row in json.loads(box.command("outbox", "--all", "--json").stdout)] == ["already", None]


def test_a_box_that_never_ran_owes_nothing(box: Box) -> None:
    for more in ((), ("--all",)):
        done = box.command("outbox", *more)
        assert (done.returncode, done.stdout, done.stderr) == (0, "nothing is owed to the dialer\n", "")
    assert box.command("outbox", "--json").stdout == "[]\n"
    assert not box.state.exists()


@pytest.mark.parametrize("name", ["reconcile", "shadow"])
def test_without_a_journal_nothing_can_be_compared(box: Box, name: str) -> None:
    done = box.command(name)
    assert (done.returncode, done.stdout) == (2, "")
    assert "only a vicidial keeps a log" in done.stderr
    section = {"url": "http://127.0.0.1:9", "user": "bot", "password": "x", "agent_user": "9001", "campaign": "C"}
    box.settings["dialer"] = {"kind": "vicidial", "vicidial": section}
    box.write()
    done = box.command(name)
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.startswith(f"error: {box.state}/sidetone.db: there is no journal yet\n  hint: ")


def test_outbox_retry_asks_what_runs(box: Box) -> None:
    asked: list[bool] = []

    async def retry() -> subprocess.CompletedProcess[str]:
        server = ApiServer(
            box.runtime / "api.sock", snapshot=lambda: STATUS, drain=lambda _: None, retry_outbox=lambda: asked.append(True)
        )
        await server.start()
        try:
            return await asyncio.to_thread(box.command, "outbox", "retry")
        finally:
            await server.stop()

    done = asyncio.run(retry())
    assert (done.returncode, done.stderr, asked) == (0, "", [True])
    assert "tried again" in done.stdout
    done = box.command("outbox", "retry")
    assert (done.returncode, done.stdout) == (1, "")
    assert "start it: sidetone run" in done.stderr


def test_help_tells_every_command_and_the_exit_codes() -> None:
    done = sidetone("--help")
    assert done.returncode == 0
    for name in ("run", "check", "status", "calls", "outbox", "drain", "doctor", "guard", "reconcile", "shadow", "bench"):
        assert f"\n    {name}" in done.stdout
    done = sidetone("status", "--help")
    assert "0 registered and healthy" in " ".join(done.stdout.split())
    for name in ("reconcile", "shadow"):
        done = sidetone(name, "--help")
        assert "3 when the dialer cannot be asked or there is no journal to read, else 0." in " ".join(done.stdout.split())


def test_no_command_is_a_question_for_help() -> None:
    done = sidetone()
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == sidetone("--help").stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("bench", "media", "--calls", "0,x"), "argument --calls: '0,x' should be numbers from 1 to 128, separated by commas"),
        (("bench", "media", "--calls", "129"), "argument --calls: '129' should be numbers from 1 to 128"),
        (("bench", "media", "--seconds", "0"), "argument --seconds: '0' should be a number from 1 to 3600"),
        (("bench", "media", "--seconds", "nan"), "argument --seconds: 'nan' should be a number from 1 to 3600"),
        (("drain", "--limit", "-1"), "argument --limit: '-1' should be a number from 0 to 3600"),
        (("calls", "-n", "0"), "argument -n: '0' should be a number of at least 1"),
        (("reconcile", "--hours", "0"), "argument --hours: '0' should be a number from 0.01 to 8784"),
        (("ruin",), "invalid choice: 'ruin'"),
    ],
)
def test_wrong_usage_is_explained(arguments: tuple[str, ...], said: str) -> None:
    done = sidetone(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr


@pytest.mark.parametrize(
    ("section", "why"),
    [({"kind": "pbx"}, "a plain PBX cannot be told to pause"), ({"shadow": True}, "shadow mode tells the dialer nothing")],
)
def test_where_nothing_can_be_told_to_the_dialer_there_is_nothing_to_guard(
    box: Box, section: dict[str, object], why: str
) -> None:
    box.settings["dialer"] = section
    box.write()
    done = box.command("guard")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"nothing to guard: {why}\n", "")
