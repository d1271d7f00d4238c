"""The command as an operator types it: real processes, what they print, how they exit."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.box import PASSWORD, Box, sidetone

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
    assert "engines.mind: there is no 'gpt', choose from echo, scripted" in done.stderr
    assert "Traceback" not in done.stderr
    assert not box.state.exists()


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


def test_help_tells_every_command_and_the_exit_codes() -> None:
    done = sidetone("--help")
    assert done.returncode == 0
    for name in ("run", "check", "status", "calls", "bench"):
        assert f"\n    {name} " in done.stdout
    done = sidetone("status", "--help")
    assert "0 registered and healthy" in " ".join(done.stdout.split())


def test_no_command_is_a_question_for_help() -> None:
    done = sidetone()
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == sidetone("--help").stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("bench", "media", "--calls", "0,x"), "argument --calls: '0,x' should be numbers from 1 to 128, separated by commas"),
        (("bench", "media", "--calls", "129"), "argument --calls: '129' should be numbers from 1 to 128"),
        (("calls", "-n", "0"), "argument -n: '0' should be a number of at least 1"),
        (("ruin",), "invalid choice: 'ruin'"),
    ],
)
def test_wrong_usage_is_explained(arguments: tuple[str, ...], said: str) -> None:
    done = sidetone(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
