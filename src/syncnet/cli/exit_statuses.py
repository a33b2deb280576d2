"""The exit statuses of the command, so that a script need not read what was printed.

docs/command-line.md has the same table; a test compares the two.
"""

from __future__ import annotations

from enum import IntEnum

__all__ = ["ExitStatus"]


class ExitStatus(IntEnum):
    """How a command ended. From 128 on it is 128 plus the number of a signal, as in a shell."""

    OK = 0
    FAILED = 1
    USAGE = 2
    REFUSED = 3
    UNREACHABLE = 4
    ABORTED = 5
    WITHDRAWN = 6
    SOME_FAILED = 7
    PORT_TAKEN = 8
    TIMED_OUT = 124
    NOT_EXECUTABLE = 126
    NOT_FOUND = 127
    HUNG_UP = 129
    INTERRUPTED = 130
    TERMINATED = 143
