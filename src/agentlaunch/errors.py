"""The one user-facing error and its kinds: a table of endings, each with its exit code.

    AgentlaunchError            1   failed, no code of its own
    ├── UsageError              2   wrong command line, or a question that nobody may answer
    ├── CheckFailed             3   a check found problems
    ├── MachineCannot           4   this machine cannot: memory, disk for the model
    ├── NotSupported            5   agent missing, or this combination is not supported
    ├── EngineFailed            6   engine unreachable, or answered wrongly
    ├── ModelUnavailable        7   model missing, pull failed
    ├── Refused                 8   changed or unparsable file, lock, unsafe project, policy
    └── AuthNeeded              9   key missing or rejected

Raised anywhere, caught in one place (`cli.main`). The message says what happened in the user's
words; `hint` is the way out, with the literal command to type where there is one; `code` is the
stable word that scripts read in the JSON envelope.
"""

from __future__ import annotations

BUG_EXIT = 70
INTERRUPTED_EXIT = 130
TERMINATED_EXIT = 143
BROKEN_PIPE_EXIT = 141


class AgentlaunchError(Exception):
    """Displayed to the user: one line of fact, one line of way out."""

    exit_code = 1
    code = "failed"

    def __init__(self, message: str, *, hint: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        if code is not None:
            self.code = code


class UsageError(AgentlaunchError):
    """The command line is wrong, or a question stood where nobody may be asked."""

    exit_code = 2
    code = "usage"


class CheckFailed(AgentlaunchError):
    """A check found problems."""

    exit_code = 3
    code = "check-failed"


class MachineCannot(AgentlaunchError):
    """This machine cannot: nothing fits in memory, or no disk for the model."""

    exit_code = 4
    code = "machine-cannot"


class NotSupported(AgentlaunchError):
    """The agent is missing, or this combination is not supported."""

    exit_code = 5
    code = "not-supported"


class EngineFailed(AgentlaunchError):
    """The engine is unreachable, or answered wrongly."""

    exit_code = 6
    code = "engine-failed"


class ModelUnavailable(AgentlaunchError):
    """The model is missing, or its download failed; a download can always be resumed."""

    exit_code = 7
    code = "model-unavailable"


class Refused(AgentlaunchError):
    """We will not: a file that changed or does not parse, a lock, a policy."""

    exit_code = 8
    code = "refused"


class AuthNeeded(AgentlaunchError):
    """A key is missing or was rejected."""

    exit_code = 9
    code = "auth-needed"


class Terminated(BaseException):
    """SIGTERM arrived: unwinds like `KeyboardInterrupt`, so that clean-up code runs."""
