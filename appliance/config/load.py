"""Read sidetone.toml and campaign files; report every problem at once, each with its key path."""

from __future__ import annotations

import copy
import difflib
import enum
import re
import tomllib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from appliance.calls.campaign import Campaign
from appliance.config.settings import DISPOSITIONS, DialerKind, Settings
from appliance.errors import ConfigError

_Model = TypeVar("_Model", bound=BaseModel)
_Loc = tuple[int | str, ...]

LONGEST_CHARS = 300  # more than any value with a pattern may have
_MISSING_HINT = {
    "settings": f"copy the commented {Path(__file__).with_name('sidetone.example.toml')} there, or name another: --config FILE",
    "campaign": "the key campaign of the settings names it",
}


@dataclass(frozen=True)
class Loaded:
    """What could be read of both files, and everything that is wrong with them: without `errors`, both are there."""

    settings: Settings | None
    campaign: Campaign | None
    errors: list[ConfigError]


def load_all(path: Path, engines: Mapping[str, Collection[str]]) -> Loaded:
    """The settings in `path` and the campaign that they name. `engines` has, by key of [engines], the names there are.

    Wrong settings do not keep the campaign from being looked at, as long as they say where it is.
    """
    settings: Settings | None = None
    campaign: Campaign | None = None
    try:
        data = _read(path, "settings")
    except ConfigError as error:
        return Loaded(None, None, [error])
    problems: list[str] = []
    try:
        settings = _settings(data, path)
    except ConfigError as error:
        problems += error.problems
    problems += _unknown_engines(data, engines, problems)
    errors = [ConfigError(str(path), problems)] if problems else []
    if isinstance(named := data.get("campaign"), str):
        try:
            campaign = load_campaign(_beside(path, Path(named)))
        except ConfigError as error:
            errors.append(error)
    if settings is not None and campaign is not None:
        wrong = _without_status(settings, campaign) + _without_outcome(settings, campaign)
        if wrong:
            errors.append(ConfigError(str(path), wrong, hint='such as [dialer.dispositions] completed = "SALE"'))
    return Loaded(settings, campaign, errors)


def _without_status(settings: Settings, campaign: Campaign) -> list[str]:
    """A problem for every outcome that the dialer would not be told: a call without a status makes its statistics wrong."""
    if settings.dialer.kind is not DialerKind.VICIDIAL:
        return []
    return [
        f"dialer.dispositions.{outcome.id}: is missing, the campaign can end a call with it"
        for outcome in campaign.outcomes
        if settings.dialer.status_of(outcome.id) is None
    ]


def _without_outcome(settings: Settings, campaign: Campaign) -> list[str]:
    """A problem for every status of an outcome that there is not, most likely a typo: it would never be set."""
    known = dict.fromkeys([*(outcome.id for outcome in campaign.outcomes), *DISPOSITIONS])
    problems = []
    for name in settings.dialer.dispositions:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            more = f"did you mean '{near[0]}'?" if near else f"there are {', '.join(known)}"
            problems.append(f"dialer.dispositions.{name}: no call ends so, {more}")
    return problems


def _unknown_engines(data: dict[str, Any], engines: Mapping[str, Collection[str]], problems: list[str]) -> list[str]:
    """A problem for every name that is well formed and that nobody knows."""
    section = data.get("engines")
    unknown = []
    for key, known in engines.items():
        asked = section.get(key) if isinstance(section, dict) else None
        names = {f"{key}.{i}": name for i, name in enumerate(asked)} if isinstance(asked, list) else {key: asked}
        for where, name in names.items():
            told = any(problem.startswith(f"engines.{where}:") for problem in problems)
            if isinstance(name, str) and name not in known and not told:
                unknown.append(f"engines.{where}: there is no '{name}', choose from {', '.join(sorted(known))}")
    return unknown


def _beside(path: Path, named: Path) -> Path:
    return (path.resolve().parent / named).resolve()


def load_settings(path: Path) -> Settings:
    """The settings in `path`, with `campaign` made absolute: a relative one is taken from the settings file's folder.

    Raises ConfigError with every problem. No message repeats a value, since one of them is a password.
    """
    return _settings(_read(path, "settings"), path)


def _settings(data: dict[str, Any], path: Path) -> Settings:
    settings = _validate(Settings, data, path)
    return settings.model_copy(update={"campaign": _beside(path, settings.campaign)})


def load_campaign(path: Path) -> Campaign:
    """The campaign in `path`. Raises ConfigError with every problem."""
    return _validate(Campaign, _read(path, "campaign"), path)


def _read(path: Path, what: str) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_bytes().decode("utf-8-sig"))
    except FileNotFoundError:
        raise ConfigError(str(path), ["there is no such file"], hint=_MISSING_HINT[what]) from None
    except OSError as e:
        hint = f"make it readable for the user that runs sidetone: ls -l {path}"
        raise ConfigError(str(path), [f"cannot be read: {e.strerror}"], hint=hint) from None
    except UnicodeDecodeError as e:
        hint = "save it as UTF-8 text"
        raise ConfigError(str(path), [f"is not UTF-8 text (byte {e.start})"], hint=hint) from None
    except tomllib.TOMLDecodeError as e:
        raise ConfigError(str(path), [f"is not valid TOML: {e}"], hint=_toml_hint(str(e))) from None
    except RecursionError:
        raise ConfigError(str(path), ["is not valid TOML: nested too deeply"]) from None


def _toml_hint(told: str) -> str:
    twice = re.match(r"Cannot declare \((.*?),?\) twice", told)
    if twice:
        section = twice[1].replace("'", "").replace(", ", ".")
        return f"the section [{section}] stands there twice: put the keys under the first one"
    return 'text stands in double quotes: key = "value"'


def _validate(model: type[_Model], data: dict[str, Any], path: Path) -> _Model:
    try:
        return model.model_validate(data)
    except ValidationError as e:
        raise ConfigError(str(path), _problems(model, data, e)) from None


def _problems(model: type[BaseModel], data: dict[str, Any], failed: ValidationError) -> list[str]:
    errors = _details(failed)
    problems = [line for error in errors for line in _lines(model, error)]
    # A model checks its cross references only once every field is right. Mend the wrong ones in a copy and look again,
    # so that the operator does not find the second half of the problems after correcting the first.
    mended = copy.deepcopy(data)
    known = tuple(_dotted(error["loc"]) for error in errors if _mend(model, mended, error["loc"]))
    if known:
        try:
            model.model_validate(mended)
        except ValidationError as e:
            again = [line for error in _details(e) if error["type"] == "value_error" for line in _lines(model, error)]
            problems += [line for line in again if not line.startswith(known)]
    return problems


def _details(failed: ValidationError) -> list[ErrorDetails]:
    return failed.errors(include_url=False)


def _mend(model: type[BaseModel], data: Any, loc: _Loc) -> bool:
    """Put something valid at `loc`, or delete it. False where neither can be done without moving other things."""
    *above, last = [part for part in loc if part != "[key]"] or [""]
    for part in above:
        try:
            data = data[part]
        except (KeyError, IndexError, TypeError):
            return False
    if not isinstance(data, dict):
        return False
    owner = _model_at(model, above)
    field = owner.model_fields.get(str(last)) if owner else None
    data.pop(last, None)
    if field and field.is_required() and get_origin(field.annotation) is Literal:
        data[last] = get_args(field.annotation)[0]
    elif field and field.is_required() and isinstance(field.annotation, type):
        if issubclass(field.annotation, enum.Enum):
            data[last] = next(iter(field.annotation)).value
        elif field.annotation is str:
            data[last] = f"x{id(data) % 10**9}"  # an id must be unique
    return True


def _lines(model: type[BaseModel], error: ErrorDetails) -> list[str]:
    if error["type"] == "value_error":
        return str(error["ctx"]["error"]).split("\n")
    return [f"{_dotted(error['loc'])}: {_message(model, error)}"]


def _dotted(loc: _Loc) -> str:
    return ".".join(str(part) for part in loc if part != "[key]")


def _message(model: type[BaseModel], error: ErrorDetails) -> str:
    match error["type"]:
        case "missing":
            return "is missing"
        case "extra_forbidden":
            owner = _model_at(model, error["loc"][:-1])
            known = list(owner.model_fields) if owner else []
            near = difflib.get_close_matches(str(error["loc"][-1]), known, n=1)
            return f"unknown key, did you mean '{near[0]}'?" if near else f"unknown key, known here are {', '.join(known)}"
        case "path_type":
            return "should be a path in quotes"
        case "string_pattern_mismatch":
            pattern = error["ctx"]["pattern"]
            if most := _most_chars(pattern, error["input"]):
                return f"is too long, it may have {most} characters at most"
            return f"has a character that is not allowed here, or is too short (pattern {pattern})"
        case "url_parsing" | "url_scheme" | "url_syntax_violation":
            return "should be an address such as http://192.0.2.10"
    text = error["msg"]
    return text.replace("Input should", "should").replace("Input is", "is").replace("String should", "should")


def _most_chars(pattern: str, value: str) -> int | None:
    """How many characters of `value` there may be, where their number is all that is wrong with it."""
    endless = re.sub(r"\{(\d+),\d+\}", r"{\1,}", pattern)
    if not re.fullmatch(endless, value):
        return None
    return next((n for n in range(min(len(value), LONGEST_CHARS), 0, -1) if re.fullmatch(pattern, value[:n])), None)


def _model_at(model: type[BaseModel], loc: Sequence[int | str]) -> type[BaseModel] | None:
    """The model of the table at `loc`; None for a table of free keys."""
    found: type[BaseModel] | None = model
    for part in loc:
        if isinstance(part, str) and found:
            annotation = found.model_fields[part].annotation
            inner = (annotation, *get_args(annotation))
            found = next((t for t in inner if isinstance(t, type) and issubclass(t, BaseModel)), None)
    return found
