"""The double as a fixture: `from tests.fakes.vicidial.plugin import vicidial` in a conftest.py makes it known there."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from tests.fakes.vicidial.double import Double


@pytest.fixture
def vicidial(caplog: pytest.LogCaptureFixture) -> Iterator[Double]:
    """A dialer on the machine's clock. After the test it fails on violations, and on passwords in any log record.

    Every level is looked at: an operator may ask for DEBUG, and httpx writes whole addresses at INFO.
    """
    caplog.set_level(logging.DEBUG)
    plain = logging.Formatter("%(name)s %(message)s")
    with Double() as double:
        yield double
        double.check("\n".join(plain.format(record) for record in caplog.get_records("call")))
