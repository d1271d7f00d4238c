"""The error tree: what an operator can act on. A traceback means a bug, these never print one."""

from __future__ import annotations

from collections.abc import Sequence


class SidetoneError(Exception):
    """Something an operator can mend. `hint` says what to do next; `exit_code` is the command's."""

    exit_code = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n  hint: {self.hint}" if self.hint else self.message


class ConfigError(SidetoneError):
    """A configuration or campaign file is wrong. `problems` has every one of them, as "key.path: what is wrong"."""

    exit_code = 2

    def __init__(self, source: str, problems: list[str], *, hint: str = "") -> None:
        self.source = source
        self.problems = problems
        if len(problems) == 1:
            message = f"{source}: {problems[0]}"
        else:
            message = "\n".join([f"{source}: {len(problems)} problems", *(f"  {p}" for p in problems)])
        super().__init__(message, hint=hint)


class SeveralErrors(SidetoneError):
    """Errors that do not depend on each other, told together. At least one."""

    def __init__(self, errors: Sequence[SidetoneError]) -> None:
        super().__init__("\n".join(map(str, errors)))
        self.errors = errors
        self.exit_code = max(error.exit_code for error in errors)


class BackendError(SidetoneError):
    """An engine backend is unknown, not installed, or does not start."""

    exit_code = 2


class SipError(SidetoneError):
    """The SIP endpoint cannot start or register."""


class StoreError(SidetoneError):
    """Journal or recordings cannot be written."""


class ApiError(SidetoneError):
    """The API socket cannot be opened, nobody answers on it, or what comes over it is no message."""


class NotRunningError(ApiError):
    """No daemon listens on the API socket."""


class NoAnswerError(ApiError):
    """A daemon listens on the API socket, and answers nothing at all."""
