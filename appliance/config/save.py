"""Write sidetone.toml."""

from __future__ import annotations

import enum
import os
import secrets
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

import tomli_w
from pydantic import SecretStr

from appliance.config.settings import Settings
from appliance.errors import ConfigError


def dump_settings(settings: Settings) -> str:
    """The settings as TOML, the password included: `load_settings` of it gives equal settings."""
    return tomli_w.dumps(_plain(settings.model_dump()))


def write_settings(path: Path, settings: Settings) -> None:
    """Replace `path` by these settings, readable by its owner only. After a power cut there is the old or the new file.

    Comments in the old file are lost. Raises ConfigError when the folder cannot be written.
    """
    new = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        try:
            with open(new, "x", encoding="utf-8", opener=_private) as file:
                file.write(dump_settings(settings))
                file.flush()
                os.fsync(file.fileno())
            new.replace(path)
        finally:
            new.unlink(missing_ok=True)
        _sync_folder(path.parent)
    except OSError as e:
        hint = f"check the folder {path.parent}: does it exist, is it writable, is the disk full?"
        raise ConfigError(str(path), [f"cannot be written: {e.strerror}"], hint=hint) from None


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _plain(value: Any) -> Any:
    """What TOML has a type for."""
    match value:
        case SecretStr():
            return value.get_secret_value()
        case enum.Enum():
            return value.value
        case Path() | IPv4Address() | IPv4Network():
            return str(value)
        case dict():
            return {key: _plain(item) for key, item in value.items() if item is not None}
        case list() | tuple():
            return [_plain(item) for item in value]
    return value
