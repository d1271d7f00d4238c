"""Wrong passwords, and the lock that both APIs share: VICIDIAL.md Part II section 7."""

from __future__ import annotations

import httpx
import pytest

from tests.fakes.vicidial import Double
from tests.fakes.vicidial.asker import ADMIN, AGENT

BAD = "ERROR: Login incorrect, please try again: |lockme|wrong1|BAD|\n"
LOCK = "ERROR: Too many login attempts, try again in 15 minutes: |lockme|LOCK|\n"
GOOD = "ERROR: NO FUNCTION SPECIFIED\n"
MINUTE = 60.0


@pytest.fixture
def try_as(double: Double, client: httpx.Client) -> Try:
    double.set_user("lockme", password="lockpass")
    return Try(client, double.url)


class Try:
    def __init__(self, client: httpx.Client, url: str) -> None:
        self._client, self._url = client, url

    def __call__(self, password: str, path: str = ADMIN) -> str:
        return self._client.post(
            self._url + path, data={"source": "test", "user": "lockme", "pass": password, "function": "x"}
        ).text


def test_ten_failures_lock_the_right_password_out_too(try_as: Try) -> None:
    assert [try_as("wrong1") for _ in range(10)] == [BAD] * 10
    assert [try_as("wrong1"), try_as("lockpass")] == [LOCK, LOCK]


def test_the_agent_api_counts_with_it_and_echoes_the_password_twice(try_as: Try) -> None:
    said = try_as("bad", AGENT)
    assert said.startswith(
        "ERROR: Invalid Username/Password: |lockme|bad|0|1|BAD|0|api|"
        "SELECT count(*) from vicidial_users where user='lockme' and pass='bad' and "
    )
    assert said.endswith(";|\n")
    for _ in range(9):
        try_as("wrong1")
    assert try_as("lockpass") == LOCK
    assert try_as("lockpass", AGENT) == "ERROR: Invalid Username/Password: |lockme|lockpass|0|1|LOCK|\n"


def test_version_stays_usable_while_locked(double: Double, client: httpx.Client, try_as: Try) -> None:
    for _ in range(11):
        try_as("wrong1")
    assert client.get(double.url + ADMIN, params={"function": "version", "user": "lockme", "pass": "x"}).text.startswith(
        "VERSION: "
    )


def test_the_lock_ends_15_minutes_after_the_last_good_login_whatever_fails_meanwhile(double: Double, try_as: Try) -> None:
    double.step(10 * MINUTE)
    for _ in range(10):
        try_as("wrong1")
    double.step(4.9 * MINUTE)
    assert try_as("lockpass") == LOCK
    double.step(0.2 * MINUTE)
    assert try_as("lockpass") == GOOD


def test_long_after_the_last_login_the_eleventh_failure_starts_the_count_again(double: Double, try_as: Try) -> None:
    double.step(20 * MINUTE)
    assert [try_as("wrong1") for _ in range(20)] == [BAD] * 20
    assert try_as("lockpass") == LOCK


def test_a_good_login_forgets_the_failures(try_as: Try) -> None:
    for _ in range(9):
        try_as("wrong1")
    assert try_as("lockpass") == GOOD
    assert [try_as("wrong1") for _ in range(10)] == [BAD] * 10
    assert try_as("wrong1") == LOCK


def test_no_login_and_a_stranger(double: Double, client: httpx.Client) -> None:
    assert client.post(double.url + ADMIN, data={"function": "x"}).text == "ERROR: Login incorrect, please try again: |||BAD|\n"
    said = client.post(double.url + AGENT, data={"function": "x", "user": "who", "pass": "knows"}).text
    assert said.startswith("ERROR: Invalid Username/Password: |who|knows|0|0|BAD|")
