from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from appliance.config import load_campaign, load_settings
from appliance.config.load import load_all
from appliance.config.settings import Queue, Settings, Transport, Vicidial
from appliance.errors import ConfigError

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "appliance/config/sidetone.example.toml"
CAMPAIGN = ROOT / "appliance/campaigns/home_insurance.toml"
GOOD = """
campaign = "c.toml"
[sip]
registrar = "10.0.0.1:5060"
username = "8600"
password = "hunter2hunter2"
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "sidetone.toml"
    path.write_text(text)
    return path


def problems_of(folder: Path, text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_settings(write(folder, text))
    assert caught.value.exit_code == 2
    return caught.value.problems


def test_the_shortest_settings_get_defaults_and_an_absolute_campaign(tmp_path: Path) -> None:
    settings = load_settings(write(tmp_path, GOOD))
    assert settings.sip.transport is Transport.UDP
    assert settings.campaign == tmp_path / "c.toml"
    assert settings.engines.mind == ["scripted"]


def test_an_absolute_campaign_stays(tmp_path: Path) -> None:
    assert load_settings(write(tmp_path, GOOD.replace("c.toml", "/srv/c.toml"))).campaign == Path("/srv/c.toml")


def test_settings_from_an_editor_with_a_byte_order_mark_load(tmp_path: Path) -> None:
    path = tmp_path / "s.toml"
    path.write_text(GOOD, encoding="utf-8-sig")
    assert load_settings(path).sip.username == "8600"


def test_the_example_loads_and_names_a_campaign_that_is_here_to_copy() -> None:
    assert load_settings(EXAMPLE).campaign == Path("/etc/sidetone/campaign.toml")
    assert str(CAMPAIGN.relative_to(ROOT)) in EXAMPLE.read_text()
    assert load_campaign(CAMPAIGN).name


OPTIONAL = re.compile(r"^# \[dialer\.(?:vicidial|queue)\]\n(?:# .*\n)+", re.MULTILINE)
"""The example's sections that have no defaults as a whole."""


def uncommented(text: str) -> str:
    return re.sub(r"^# (\w+ += |\w+ = |\[)", r"\1", text, flags=re.MULTILINE)


def test_the_example_shows_every_key_with_its_default(tmp_path: Path) -> None:
    text = EXAMPLE.read_text()
    assert load_settings(write(tmp_path, uncommented(OPTIONAL.sub("", text)))) == load_settings(write(tmp_path, text))
    for name, section in Settings.model_fields.items():
        keys = getattr(section.annotation, "model_fields", {})
        shown = uncommented(text)
        assert all(re.search(rf"^{key} +=|^{key} =|^\[{name}\.{key}\]", shown, re.MULTILINE) for key in keys), name


def test_the_examples_optional_sections_load_when_they_are_uncommented(tmp_path: Path) -> None:
    text = uncommented(EXAMPLE.read_text()).replace('kind = "pbx"', 'kind = "vicidial"')
    settings = load_settings(write(tmp_path, text))
    assert settings.dialer.vicidial is not None
    assert settings.dialer.queue is not None
    shown = {match[0].splitlines()[0]: uncommented(match[0]) for match in OPTIONAL.finditer(EXAMPLE.read_text())}
    for head, model in (("# [dialer.vicidial]", Vicidial), ("# [dialer.queue]", Queue)):
        given = tomllib.loads(shown[head])["dialer"][head[len("# [dialer.") : -1]]
        assert given.keys() == model.model_fields.keys()


def test_a_dialer_needs_its_section(tmp_path: Path) -> None:
    assert problems_of(tmp_path, GOOD + '[dialer]\nkind = "vicidial"') == [
        'dialer.vicidial: is missing, and dialer.kind = "vicidial" needs it'
    ]


VICIDIAL = """
[dialer]
kind = "vicidial"
[dialer.vicidial]
url = "http://192.0.2.10"
user = "sidetone"
password = "topsecret1"
agent_user = "9001"
campaign = "TESTCAMP"
"""


@pytest.mark.parametrize(
    "url", ["http://u:topsecret1@192.0.2.10", "http://192.0.2.10/agc/api.php", "http://192.0.2.10/?pass=x"]
)
def test_an_api_address_is_the_dialers_name_alone(tmp_path: Path, url: str) -> None:
    (problem,) = problems_of(tmp_path, GOOD + VICIDIAL.replace("http://192.0.2.10", url))
    assert problem.startswith("dialer.vicidial.url: ")
    assert "topsecret1" not in problem


@pytest.mark.parametrize("status", ["", "TOOLONG", "A B", "A|B"])
def test_a_status_that_the_dialer_would_cut_or_misread_is_refused(tmp_path: Path, status: str) -> None:
    (problem,) = problems_of(tmp_path, GOOD + VICIDIAL + f'[dialer.dispositions]\ncompleted = "{status}"\n')
    assert problem.startswith("dialer.dispositions.completed: ")


def test_what_is_only_too_long_is_told_so(tmp_path: Path) -> None:
    told = {
        status: problems_of(tmp_path, GOOD + VICIDIAL + f'[dialer.dispositions]\ncompleted = "{status}"\n')
        for status in ("TOOLONGX", "A B", "TOO LONG X")
    }
    key = "dialer.dispositions.completed"
    assert told["TOOLONGX"] == [f"{key}: is too long, it may have 6 characters at most"]
    for status in ("A B", "TOO LONG X"):
        assert told[status][0].startswith(f"{key}: has a character that is not allowed here")
    [problem] = problems_of(tmp_path, GOOD + VICIDIAL.replace("9001", "9"))
    assert "too short" in problem


@pytest.mark.parametrize("url", ["192.0.2.10", "", "ftp://192.0.2.10", "http//192.0.2.10"])
def test_an_address_that_is_none_is_told_with_one_that_is(tmp_path: Path, url: str) -> None:
    problems = problems_of(tmp_path, GOOD + VICIDIAL.replace("http://192.0.2.10", url))
    assert problems == ["dialer.vicidial.url: should be an address such as http://192.0.2.10"]


@pytest.mark.parametrize(
    ("text", "key"),
    [
        (GOOD.replace("hunter2hunter2", ""), "sip.password"),
        (GOOD + VICIDIAL.replace("topsecret1", ""), "dialer.vicidial.password"),
        (
            GOOD + '[dialer.queue]\nmanager = "192.0.2.10"\nuser = "bot"\npassword = ""\nqueue = "sales"\n',
            "dialer.queue.password",
        ),
    ],
)
def test_no_password_may_be_empty(tmp_path: Path, text: str, key: str) -> None:
    assert problems_of(tmp_path, text) == [f"{key}: should not be empty"]


@pytest.mark.parametrize(("section", "named"), [("[sip]", "sip"), ("[dialer.callbacks]\n" * 2, "dialer.callbacks")])
def test_a_section_that_stands_there_twice_is_named(tmp_path: Path, section: str, named: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_settings(write(tmp_path, GOOD + section))
    assert caught.value.hint == f"the section [{named}] stands there twice: put the keys under the first one"


@pytest.mark.parametrize("kind", ["", VICIDIAL])
def test_a_status_for_an_outcome_that_there_is_not_is_refused(tmp_path: Path, kind: str) -> None:
    (tmp_path / "c.toml").write_text(CAMPAIGN.read_text())
    text = GOOD + kind + '[dialer.dispositions]\ncomplete = "OK"\nzzz = "OK"\ncut_short = "AICUT"\n'
    (error,) = load_all(write(tmp_path, text), {}).errors
    typo, other = error.problems
    assert typo == "dialer.dispositions.complete: no call ends so, did you mean 'completed'?"
    assert other.startswith("dialer.dispositions.zzz: no call ends so, there are ")
    assert "wrong_number" in other


def test_hours_that_leave_no_time_to_call_back_are_refused(tmp_path: Path) -> None:
    text = GOOD + "[dialer.callbacks]\nearliest = 18:00:00\nlatest = 09:00:00\n"
    assert problems_of(tmp_path, text) == ["dialer.callbacks.latest: must be later than dialer.callbacks.earliest"]


def test_an_outcome_without_a_status_is_refused(tmp_path: Path) -> None:
    campaign = CAMPAIGN.read_text() + '\n[[outcomes]]\nid = "moved_away"\nclosing = "Goodbye."\n'
    (tmp_path / "c.toml").write_text(campaign)
    path = write(tmp_path, GOOD + VICIDIAL)
    (error,) = load_all(path, {}).errors
    assert error.problems == ["dialer.dispositions.moved_away: is missing, the campaign can end a call with it"]
    path.write_text(path.read_text() + '[dialer.dispositions]\nmoved_away = "MOVED"\n')
    assert load_all(path, {}).errors == []


def test_every_problem_is_reported_at_once_with_its_key(tmp_path: Path) -> None:
    text = """
    [sip]
    registrar = "bad host"
    username = "8600"
    port = "many"
    transport = "sctp"
    codecs = []
    [engines]
    mind = ["scripted", "No Such"]
    [limits]
    call_s = 5
    """
    problems = problems_of(tmp_path, text)
    where = [p.split(":")[0] for p in problems]
    assert sorted(where) == sorted(
        [
            "campaign",
            "sip.registrar",
            "sip.password",
            "sip.port",
            "sip.transport",
            "sip.codecs",
            "engines.mind.1",
            "limits.call_s",
        ]
    )
    assert "campaign: is missing" in problems
    assert "limits.call_s: should be greater than or equal to 10" in problems


def test_an_unknown_key_gets_the_nearest_name(tmp_path: Path) -> None:
    text = GOOD + 'pasword = "x"\n[capcity]\nlines = 2\n[engines]\nzzz = 1\n'
    problems = problems_of(tmp_path, text)
    assert "sip.pasword: unknown key, did you mean 'password'?" in problems
    assert "capcity: unknown key, did you mean 'capacity'?" in problems
    assert "engines.zzz: unknown key, known here are recognizer, vad, voice, speaker, mind" in problems


@pytest.mark.parametrize("bad", ['"hunter2hunter2"\nport = -1', "20252026", '["hunter2hunter2"]', '{ a = "hunter2hunter2" }'])
def test_no_message_shows_the_password(tmp_path: Path, bad: str) -> None:
    text = GOOD.replace('"hunter2hunter2"', bad)
    with pytest.raises(ConfigError) as caught:
        load_settings(write(tmp_path, text))
    shown = f"{caught.value} {caught.value!r} {caught.value.__cause__}"
    assert "hunter2" not in shown
    assert "20252026" not in shown


def test_a_syntax_error_names_its_line(tmp_path: Path) -> None:
    [problem] = problems_of(tmp_path, GOOD + "\nport = = 3\n")
    assert "line 8" in problem


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"a = " + b"[" * 20000, b"", b"= 1"])
def test_any_garbage_is_a_config_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "s.toml"
    path.write_bytes(content)
    with pytest.raises(ConfigError):
        load_settings(path)


def test_a_missing_file_and_a_folder_have_a_hint(tmp_path: Path) -> None:
    for path in (tmp_path / "none.toml", tmp_path):
        with pytest.raises(ConfigError) as caught:
            load_campaign(path)
        assert caught.value.hint
        assert str(path) in str(caught.value)


def test_a_file_that_fails_while_read_says_why() -> None:
    with pytest.raises(ConfigError, match="cannot be read: Input/output error"):
        load_settings(Path("/proc/self/mem"))


def test_wrong_references_are_found_beside_wrong_fields(tmp_path: Path) -> None:
    text = CAMPAIGN.read_text()
    text = text.replace('no = "end:not_qualified"', 'no = "end:nowhere"', 1)
    text = text.replace('slot = "yes_no"', 'slot = "yes_or_no"\nreasks = 99\nonn = 3', 1)
    text = text.replace('company = "', 'compny = "', 1)
    with pytest.raises(ConfigError) as caught:
        load_campaign(write(tmp_path, text))
    problems = caught.value.problems
    assert "compny: unknown key, did you mean 'company'?" in problems
    assert "company: is missing" in problems
    assert "questions.0.reasks: should be less than or equal to 5" in problems
    assert "questions.0.onn: unknown key, did you mean 'on'?" in problems
    assert any(p.startswith("questions.0.slot: should be 'yes_no'") for p in problems)
    assert any("end:nowhere" in p for p in problems)
    assert len(problems) == 6


def test_several_wrong_references_are_separate_problems(tmp_path: Path) -> None:
    text = CAMPAIGN.read_text().replace('"end:not_qualified"', '"end:nowhere"').replace('id = "dnc"', 'id = "d_n_c"')
    with pytest.raises(ConfigError) as caught:
        load_campaign(write(tmp_path, text))
    assert len(caught.value.problems) >= 2
    assert "outcomes: 'dnc' is missing" in caught.value.problems


def test_a_wrong_field_is_not_reported_twice(tmp_path: Path) -> None:
    text = re.sub(r"^opt_out = \[[^]]*\]", "opt_out = 5", CAMPAIGN.read_text(), count=1, flags=re.MULTILINE)
    with pytest.raises(ConfigError) as caught:
        load_campaign(write(tmp_path, text))
    assert len(caught.value.problems) == 1
