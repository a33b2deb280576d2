"""The exceptions, and the one table of error codes, statuses and titles.

Two families, told apart by who can mend it. *You did it* (`UsageError`): the call was wrong, and the same call
will be refused again. *The world did it* (`RetryableError`): the call was fine, and may be made again as it is.
No error leaves anything behind: an offer that was refused is not pending.

A code is what a program branches on, the last part of `type` in a problem document (RFC 9457).
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

__all__ = [
    "PROBLEMS",
    "AbortedError",
    "AccessError",
    "BadBodyError",
    "ClosedError",
    "DrainingError",
    "GoneError",
    "JournalError",
    "LabelError",
    "ParameterError",
    "Problem",
    "RefusedError",
    "ReplacedError",
    "RetryableError",
    "SelectorError",
    "SyncnetError",
    "TimedOutError",
    "UnavailableError",
    "UsageError",
    "WithdrawnError",
]


@dataclass(frozen=True, slots=True)
class Problem:
    """One row of the table: the HTTP status and the title that go with a code."""

    status: int
    title: str


PROBLEMS: Final = MappingProxyType(
    {
        "bad-parameter": Problem(400, "Bad parameter"),
        "bad-body": Problem(400, "Bad body"),
        "unauthorized": Problem(401, "Unauthorized"),
        "forbidden": Problem(403, "Forbidden"),
        "cross-site": Problem(403, "Cross-site request"),
        "unknown-host": Problem(403, "Unknown host"),
        "unknown-path": Problem(404, "Unknown path"),
        "unknown-id": Problem(404, "Unknown id"),
        "method-not-allowed": Problem(405, "Method not allowed"),
        "timed-out": Problem(408, "Timed out"),
        "id-reused": Problem(409, "Id reused"),
        "replaced": Problem(409, "Replaced"),
        "already-over": Problem(409, "Already over"),
        "withdrawn": Problem(410, "Withdrawn"),
        "aborted": Problem(410, "Aborted"),
        "slow-body": Problem(408, "The body came too slowly"),
        "length-required": Problem(411, "Length required"),
        "too-large": Problem(413, "Too large"),
        "url-too-long": Problem(414, "URL too long"),
        "unknown-content-type": Problem(415, "Unknown content type"),
        "internal": Problem(500, "Internal error"),
        "quota": Problem(429, "Quota used up"),
        "full": Problem(503, "Full"),
        "journal": Problem(503, "Journal not written"),
        "draining": Problem(503, "Draining"),
    }
)


class SyncnetError(Exception):
    """The base of all that syncnet raises."""

    code: str = "internal"
    retry_safe: bool = False


class UsageError(SyncnetError):
    """You did it: the same call will be refused again."""


class RetryableError(SyncnetError):
    """The world did it: the same call may succeed later."""

    retry_safe = True


class ParameterError(UsageError, ValueError):
    """A parameter is missing, unknown, given twice, or has a value that does not do.

    `parameter` is its name; the message says what was expected, what came, and where. `code` is `too-large` where
    it is longer, or holds more, than this server takes.
    """

    def __init__(self, parameter: str, message: str, code: str = "bad-parameter") -> None:
        super().__init__(f"{parameter}: {message}")
        self.parameter = parameter
        self.code = code


class BadBodyError(UsageError, ValueError):
    """The body of a request could not be read; `code` says which kind of fault it was."""

    def __init__(self, message: str, code: str = "bad-body") -> None:
        super().__init__(message)
        self.code = code


class AccessError(UsageError, PermissionError):
    """Who asks may not have this; `code` says why: `unauthorized`, `forbidden`, `cross-site` or `unknown-host`.

    The message never has a token in it.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class ClosedError(UsageError):
    """The call was made after the client, or the `Syncnet`, had been closed."""

    code = "client-closed"


class LabelError(UsageError, ValueError):
    """A label key or value that Kubernetes would not take."""

    code = "bad-parameter"


class SelectorError(UsageError, ValueError):
    """A label selector that Kubernetes would not take.

    `position` is the index of the character at which it went wrong, from 0 to the length of the selector.
    """

    code = "bad-parameter"

    def __init__(self, message: str, position: int) -> None:
        super().__init__(f"{message} at character {position + 1}")
        self.position = position


class DrainingError(RetryableError):
    """The server is about to end; another one, or this one later, will take the offer."""

    code = "draining"


class ReplacedError(UsageError):
    """Another request with the same id and the same parameters waits for the offer now."""

    code = "replaced"


class JournalError(RetryableError):
    """The journal could not be written, or read; what was asked for has not happened."""

    code = "journal"


class GoneError(RetryableError):
    """The client went away while it waited, and is not there to read this."""

    code = "withdrawn"


# --- how an offer can end, for those who wait for it in Python ---------------------------------------------


class TimedOutError(RetryableError, TimeoutError):
    """The offer gave up waiting, and is in no later sync (G6).

    `present` are the actors that were there, `missing` says how many more it would have taken, 1 or more, and with a
    roster `missing_actors` names them.
    """

    code = "timed-out"

    def __init__(
        self,
        message: str,
        *,
        waited_s: float,
        present: tuple[str, ...],
        missing: int,
        missing_actors: tuple[str, ...] = (),
    ) -> None:
        super().__init__(message)
        self.waited_s = waited_s
        self.present = present
        self.missing = missing
        self.missing_actors = missing_actors


class WithdrawnError(RetryableError):
    """The offer was taken back, by its own side."""

    code = "withdrawn"


class AbortedError(RetryableError):
    """The offer was ended by somebody else: `by` (perhaps empty) says who, `reason` why."""

    code = "aborted"

    def __init__(self, message: str, *, by: str, reason: str) -> None:
        super().__init__(message)
        self.by = by
        self.reason = reason


class RefusedError(UsageError):
    """The server understood what was asked for and will not do it: no or a wrong token, a reused id, too large.

    `code` says which, as a row of the table above.
    """

    def __init__(self, message: str, code: str) -> None:
        super().__init__(message)
        self.code = code


class UnavailableError(RetryableError):
    """No server answered within the time that there was, or it is full or about to end.

    `retry_after_s` is what the server asked for, None where it did not, or where there was none. Whether the offer was
    made is not known; with the same id it is safe to ask again.
    """

    def __init__(self, message: str, code: str = "unavailable", retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.retry_after_s = retry_after_s
