"""Every line of the agent API, provoked on the double in both wordings, and what the client makes of it."""

from __future__ import annotations

from collections.abc import Awaitable, Iterator
from typing import cast

import httpx
import pytest
from pydantic import SecretStr

from appliance.dialers.vicidial import wire
from appliance.dialers.vicidial.answers import Version
from appliance.dialers.vicidial.client import Stage, Told
from appliance.dialers.vicidial.replies import Reply, Shape, Word, parse
from appliance.dialers.vicidial.wire import Api, Function, Trouble
from tests.dialers.vicidial.conftest import Settings
from tests.dialers.vicidial.contract import NI, Line, Says, Scene, lock_out, matches, play
from tests.fakes.vicidial import Dialect, Double, FaultKind, SteppedClock
from tests.fakes.vicidial.asker import AGENT, Asker

TRANSFER = "SUCCESS: ra_call_control transfer - <>|<>|<>"
TRANSFERRED = "SUCCESS: ra_call_control transferred - <>|<>|<>"
NOT_LOGGED_IN = "ERROR: agent_user is not logged in - <>"
NO_USER = "ERROR: no user found - <>"
LOG_IN = "ERROR: Invalid Username/Password: |<>|<>|"


def end(scene: Scene) -> Awaitable[Told]:
    return scene.client.control(scene.call, Stage.HANGUP, NI)


def to_group(scene: Scene, group: str = "SALESLINE") -> Awaitable[Told]:
    return scene.client.control(scene.call, Stage.IN_GROUP, NI, group)


def raw(scene: Scene, **params: str) -> Awaitable[Reply]:
    """ra_call_control of this call, in ways that the client never asks for."""
    whole = {"value": scene.call, "agent_user": "9001", "stage": "HANGUP", "status": "NI"} | params
    return scene.wire.write(Function.RA_CALL_CONTROL, whole, lambda reply: reply)


def is_version(came: object) -> bool:
    return isinstance(came, Version) and (came.version, came.build, came.utc_offset_h) == ("2.14-82", "250122-1010", None)


def switched_off(scene: Scene) -> None:
    scene.site.rows("update system_settings set vdc_agent_api_active = '0'")


LINES = [
    # The log-in, and what stands before every function.
    Line("VERSION: <>|BUILD: <>|DATE: <>|EPOCH: <>", lambda scene: scene.client.version(Api.AGENT), is_version),
    Line(LOG_IN + "0|1|BAD|0|api|<>|", end, Trouble.LOCKED, settings={"password": SecretStr("wrong-one")}),
    Line(LOG_IN + "0|1|LOCK|", end, Trouble.LOCKED, given=lock_out),
    Line(LOG_IN + "1|0|GOOD|", end, Trouble.FORBIDDEN, settings={"user": "apilow"}),
    Line("ERROR: System API NOT ACTIVE", end, Trouble.SHUT, given=switched_off),
    Line(
        "ERROR: auth USER DOES NOT HAVE PERMISSION TO USE THIS FUNCTION - <>|<>|ra_call_control|<>",
        end,
        Trouble.FORBIDDEN,
        given=lambda scene: scene.site.set_user("apiuser", api_allowed_functions="agent_status"),
    ),
    Line("", end, Trouble.UNCLEAR, given=lambda scene: scene.site.fault(FaultKind.EMPTY, "ra_call_control")),
    # The ten rows of ra_call_control.
    Line("ERROR: ra_call_control not valid - |<>|HANGUP", lambda scene: raw(scene, value=""), Says(Word.ERROR, "not valid")),
    Line(
        "ERROR: ra_call_control not valid - <>||HANGUP", lambda scene: raw(scene, agent_user=""), Says(Word.ERROR, "not valid")
    ),
    Line("ERROR: ra_call_control not valid - <>|<>|", lambda scene: raw(scene, stage=""), Says(Word.ERROR, "not valid")),
    Line(NOT_LOGGED_IN, end, Trouble.REFUSED, docs=NO_USER, settings={"agent_user": "9999"}),
    Line(
        "ERROR: no active call found - <>",
        lambda scene: scene.client.control("V1221343190000000008", Stage.HANGUP, NI),
        Told.GONE,
    ),
    Line("SUCCESS: ra_call_control hungup - <>|<>|HANGUP", end, Told.DONE),
    Line(
        "ERROR: phone_number is not valid - ",
        lambda scene: raw(scene, stage="EXTENSIONTRANSFER"),
        Says(Word.ERROR, "phone_number is not valid"),
    ),
    Line(
        "ERROR: phone_number is not valid - 8",
        lambda scene: raw(scene, stage="EXTENSIONTRANSFER", phone_number="8"),
        Says(Word.ERROR, "phone_number is not valid"),
    ),
    Line(
        TRANSFER,
        lambda scene: raw(scene, stage="EXTENSIONTRANSFER", phone_number="8379"),
        Says(Word.SUCCESS, "transfer"),
        docs=TRANSFERRED,
    ),
    Line("ERROR: ingroup is not valid - ", lambda scene: to_group(scene, ""), Trouble.REFUSED),
    Line("ERROR: ingroup is not valid - OFFLINE", lambda scene: to_group(scene, "OFFLINE"), Trouble.REFUSED),
    Line("ERROR: ingroup is not valid - NOPE", lambda scene: to_group(scene, "NOPE"), Trouble.REFUSED),
    Line("SUCCESS: ra_call_control transfer - <>|<>|", to_group, Told.DONE, docs=TRANSFERRED),
    Line(
        TRANSFER,
        lambda scene: raw(scene, stage="INGROUPTRANSFER", ingroup_choices="SALESLINE", phone_number="4155550000"),
        Says(Word.SUCCESS, "transfer"),
        docs=TRANSFERRED,
    ),
    Line(
        "SUCCESS: ra_call_control transfer - <>|<>|",
        lambda scene: to_group(scene, "DEFAULTINGROUP"),
        Told.DONE,
        docs=TRANSFERRED,
    ),
    Line(
        "ERROR: stage is not valid - hangup", lambda scene: raw(scene, stage="hangup"), Says(Word.ERROR, "stage is not valid")
    ),
]


SOURCE = Line("ERROR: Invalid Source - <>", end, Trouble.SHUT)


@pytest.mark.parametrize("line", LINES, ids=lambda line: line.said)
def test_the_client_knows_what_each_line_means(site: Double, settings: Settings, line: Line) -> None:
    play(site, settings, line)


def test_a_source_that_the_dialer_does_not_take(site: Double, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "SOURCE", "x")
    play(site, settings, SOURCE)


def test_a_call_that_was_let_go_is_gone_the_second_time(site: Double, settings: Settings) -> None:
    async def twice(scene: Scene) -> list[Told]:
        return [await end(scene), await end(scene)]

    play(site, settings, Line("ERROR: no active call found - <>", twice, [Told.DONE, Told.GONE]))


@pytest.mark.parametrize("group", ["NOPE", "OFFLINE", ""])
def test_a_refused_transfer_leaves_the_call_where_it_is(site: Double, settings: Settings, group: str) -> None:
    async def refused_and_ended(scene: Scene) -> Told:
        with pytest.raises(wire.VicidialError):
            await to_group(scene, group)
        return await end(scene)

    play(site, settings, Line("ERROR: ingroup is not valid - <>", refused_and_ended, Told.DONE))


# What answers and does nothing ----------------------------------------------------------------------------------------

INERT: list[tuple[str, dict[str, str], str]] = [
    ("external_hangup", {"value": "1"}, "SUCCESS: external_hangup function set - 1|<>"),
    ("external_status", {"value": "A"}, "SUCCESS: external_status function set - A|<>"),
    ("external_pause", {"value": "PAUSE"}, "SUCCESS: external_pause function set - PAUSE|<>|<>"),
    ("transfer_conference", {"value": "HANGUP_XFER"}, "SUCCESS: transfer_conference function set - HANGUP_XFER|||NO|<>|<>|"),
    (
        "transfer_conference",
        {"value": "BLIND_TRANSFER", "phone_number": "8379"},
        "SUCCESS: transfer_conference function set - BLIND_TRANSFER||8379|NO|<>|<>|",
    ),
    (
        "transfer_conference",
        {"value": "LOCAL_CLOSER", "ingroup_choices": "SALESLINE"},
        "SUCCESS: transfer_conference function set - LOCAL_CLOSER|SALESLINE||NO|<>|<>|",
    ),
    ("transfer_conference", {"value": "AXFER"}, "ERROR: transfer_conference not valid - AXFER|<>"),
    ("park_call", {"value": "PARK_CUSTOMER"}, "SUCCESS: park_call function set - PARK_CUSTOMER|<>"),
    ("send_dtmf", {"value": "QQQQ1234SQQQQQ6654P"}, "SUCCESS: send_dtmf function set - QQQQ1234SQQQQQ6654P|<>"),
    ("recording", {"value": "START"}, "SUCCESS: recording function sent - <>|START||||<>|<>|<>"),
    ("recording", {"value": "STOP"}, "NOTICE: not recording - <>|||||<>|<>|<>"),
    ("logout", {}, "SUCCESS: logout function set - LOGOUT|<>|<>"),
    ("external_dial", {"value": "4155550000"}, "ERROR: agent_user is not paused - <>"),
    ("update_fields", {}, "ERROR: no fields have been defined - <>"),
    ("pause_code", {"value": "LUNCH"}, "ERROR: pause_code error - agent is not paused - <>"),
    ("audio_playback", {"value": "PLAY"}, "ERROR: audio_playback error - entry is empty - PLAY|<>"),
    ("change_ingroups", {"value": "CHANGE"}, "ERROR: user is not allowed to change agent in-groups - <>"),
    (
        "park_call",
        {"value": "PARK_CUSTOMER", "agent_user": "9002"},
        "ERROR: agent_user does not have a lead on their screen - <>",
    ),
    ("external_hangup", {"value": ""}, "ERROR: external_hangup not valid - |<>"),
    ("external_hangup", {"value": "1", "agent_user": "9999"}, NOT_LOGGED_IN),
]


@pytest.fixture(scope="module", params=list(Dialect))
def busy(request: pytest.FixtureRequest) -> Iterator[Double]:
    """A site with a call on line 9001, for what our own client cannot ask."""
    with Double(clock=SteppedClock(), dialect=cast(Dialect, request.param), leads=2) as double:
        double.set_user("apiuser", api_allowed_functions="ALL_FUNCTIONS")
        assert double.call_answered(8, "SIP/carrier-8") is not None
        yield double


@pytest.fixture(scope="module")
def stranger() -> Iterator[httpx.Client]:
    with httpx.Client(verify=False) as made:  # noqa: S501 there is no TLS here, and the context takes long
        yield made


@pytest.mark.parametrize(("function", "params", "said"), INERT, ids=lambda value: value if isinstance(value, str) else "")
def test_what_does_nothing_is_read_and_cannot_be_asked(
    busy: Double, stranger: httpx.Client, function: str, params: dict[str, str], said: str
) -> None:
    answer = Asker(busy, stranger, AGENT)(function, **({"agent_user": "9001"} | params)).removesuffix("\n")
    wording = NO_USER if said == NOT_LOGGED_IN and busy.site.dialect is Dialect.DOCS else said
    assert matches(wording, answer)
    reply = parse(answer, function)
    assert [line.word.value for line in reply.lines] == [said.partition(":")[0]]
    assert reply.refusal is None or function == "change_ingroups"
    assert busy.violations.pop() == f"{function} was called: it does nothing for a remote agent"
    assert function not in {known.called for known in Function}


@pytest.mark.parametrize("function", ["", "no_such_function"])
def test_an_unknown_function_is_nothing_at_all(busy: Double, stranger: httpx.Client, function: str) -> None:
    assert parse(Asker(busy, stranger, AGENT)(function, agent_user="9001"), function).shape is Shape.EMPTY


WAITING = "SUCCESS: calls_in_queue_count - 0"


def test_looking_at_the_queue(busy: Double, stranger: httpx.Client) -> None:
    answer = Asker(busy, stranger, AGENT)("calls_in_queue_count", agent_user="9001")
    assert answer == WAITING
    reply = parse(answer, "calls_in_queue_count")
    assert [line.fields for line in reply.lines] == [("0",)]
