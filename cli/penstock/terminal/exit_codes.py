"""The exit codes of the `penstock` command, and the one exception that ends it."""

from enum import IntEnum


class Exit(IntEnum):
    """The meaning of the command's exit code."""

    OK = 0
    ERROR = 1
    """Something failed that no other code names."""
    USAGE = 2
    """The command line, a setting or what was submitted is wrong."""
    NOT_FOUND = 3
    DENIED = 4
    """The server does not know the caller, or does not permit the request."""
    UNREACHABLE = 6
    """The server did not answer."""
    RUN_FAILED = 10
    CANCELLED = 11
    INTERRUPTED = 130
    """Ctrl-C; a run that was watched goes on."""


class Stop(Exception):
    """Ends the command with a message of one or a few lines for a person, and an exit code."""

    def __init__(self, message: str, code: Exit = Exit.ERROR) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
