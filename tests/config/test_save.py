from __future__ import annotations

import subprocess
import sys
import tomllib
from ipaddress import IPv4Network
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from appliance.config import dump_settings, load_settings, write_settings
from appliance.config.settings import Settings, Sip
from appliance.errors import ConfigError


def settings(password: str = "s3cret") -> Settings:
    return Settings(
        campaign=Path("/srv/c.toml"),
        sip=Sip(registrar="10.0.0.1", username="8600", password=SecretStr(password), trusted=[IPv4Network("10.0.0.0/28")]),
    )


@given(password=st.text(min_size=1, max_size=30).filter(lambda s: s.isprintable()))
def test_dump_then_load_gives_equal_settings(password: str) -> None:
    given_settings = settings(password)
    assert Settings.model_validate(tomllib.loads(dump_settings(given_settings))) == given_settings


def test_the_file_is_private_and_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "sidetone.toml"
    path.write_text("old")
    path.chmod(0o644)
    write_settings(path, settings())
    assert path.stat().st_mode & 0o777 == 0o600
    assert load_settings(path) == settings()
    assert list(tmp_path.iterdir()) == [path]


def test_a_missing_folder_is_an_error_with_a_hint(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be written") as caught:
        write_settings(tmp_path / "none" / "sidetone.toml", settings())
    assert caught.value.hint


def test_a_full_disk_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "sidetone.toml"
    path.write_text("old")
    code = f"""
import resource, signal
from pathlib import Path
from pydantic import SecretStr
from appliance.config import write_settings
from appliance.config.settings import Settings, Sip
from appliance.errors import ConfigError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (64, 64))
sip = Sip(registrar="10.0.0.1", username="8600", password=SecretStr("s3cret"))
try:
    write_settings(Path({str(path)!r}), Settings(campaign=Path("/c"), sip=sip))
except ConfigError as e:
    assert "s3cret" not in str(e)
    print(e.exit_code)
"""
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout == "2\n"
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
