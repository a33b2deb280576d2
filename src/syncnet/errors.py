"""The exceptions, and the one table of error codes, statuses and titles.

There are two families. A `UsageError` says that the call was wrong: the same call will fail again. A `RetryableError`
says that the call was valid: the same call may succeed later. No error leaves state behind: a refused offer is not
pending.

A program branches on the code. It is the last part of `type` in a problem document (RFC 9457).
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, NamedTuple

__all__ = [
    "PROBLEMS",
    "AbortedError",
    "AccessError",
    "BadBodyError",
    "BusyError",
    "ClosedError",
    "ClusterError",
    "DrainingError",
    "GaveUp",
    "GoneError",
    "Hindrance",
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
        "bad-host": Problem(400, "Bad Host"),
        "unauthorized": Problem(401, "Unauthorized"),
        "forbidden": Problem(403, "Forbidden"),
        "cross-site": Problem(403, "Cross-site request"),
        "unknown-host": Problem(403, "Unknown host"),
        "unknown-path": Problem(404, "Unknown path"),
        "unknown-id": Problem(404, "Unknown id"),
        "method-not-allowed": Problem(405, "Method not allowed"),
        "slow-body": Problem(408, "The body came too slowly"),
        "id-reused": Problem(409, "Id reused"),
        "replaced": Problem(409, "Replaced"),
        "already-over": Problem(409, "Already over"),
        "timed-out": Problem(410, "Timed out"),  # not 408: browsers and curl repeat a request that got 408
        "withdrawn": Problem(410, "Withdrawn"),
        "aborted": Problem(410, "Aborted"),
        "length-required": Problem(411, "Length required"),
        "too-large": Problem(413, "Too large"),
        "url-too-long": Problem(414, "URL too long"),
        "unknown-content-type": Problem(415, "Unknown content type"),
        "internal": Problem(500, "Internal error"),
        "quota": Problem(429, "Quota used up"),
        "rate-limited": Problem(429, "Too much work at once"),
        "busy": Problem(503, "Busy"),
        "full": Problem(503, "Full"),
        "journal": Problem(503, "Journal not written"),
        "cluster": Problem(503, "Cluster not reached"),
        "draining": Problem(503, "Draining"),
    }
)


class SyncnetError(Exception):
    """The base class of all exceptions that syncnet raises."""

    code: str = "internal"
    retry_safe: bool = False


class UsageError(SyncnetError):
    """The call was wrong: the same call will fail again."""


class RetryableError(SyncnetError):
    """The call was valid but did not succeed: the same call may succeed later."""

    retry_safe = True


class ParameterError(UsageError, ValueError):
    """A parameter is missing, unknown, given twice, or has an invalid value.

    `parameter` is its name. The message says what was expected, what came, and where. `code` is `too-large` if the
    value is longer, or has more items, than this server accepts; otherwise it is `bad-parameter`.
    """

    def __init__(self, parameter: str, message: str, code: str = "bad-parameter") -> None:
        super().__init__(f"{parameter}: {message}")
        self.parameter = parameter
        self.code = code


class BadBodyError(UsageError, ValueError):
    """The body of a request could not be read; `code` says which kind of error it was."""

    def __init__(self, message: str, code: str = "bad-body") -> None:
        super().__init__(message)
        self.code = code


class AccessError(UsageError, PermissionError):
    """The request was not admitted: the caller has no permission, or the `Host` is wrong.

    `code` says why: `unauthorized`, `forbidden`, `cross-site`, `unknown-host` or `bad-host`. The message never
    contains a token.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class ClosedError(UsageError):
    """The call was made after the client, or the `Syncnet`, had been closed.

    Or it was made for an offer of another process or event loop, for which nothing waits here.
    """

    code = "client-closed"


class LabelError(UsageError, ValueError):
    """A label key or value that Kubernetes would reject."""

    code = "bad-parameter"


class SelectorError(UsageError, ValueError):
    """A label selector that Kubernetes would reject.

    `position` is the index of the character at which parsing failed, from 0 to the length of the selector.
    """

    code = "bad-parameter"

    def __init__(self, message: str, position: int) -> None:
        super().__init__(f"{message} at character {position + 1}")
        self.position = position


class DrainingError(RetryableError):
    """The server is shutting down; another server, or this one after a restart, will accept the offer."""

    code = "draining"


class BusyError(RetryableError):
    """Too many requests that take long are being processed; this one was not."""

    code = "busy"


class ReplacedError(UsageError):
    """Another request with the same id and the same parameters has taken over the offer."""

    code = "replaced"


class JournalError(RetryableError):
    """The journal could not be written or read; the command was not applied."""

    code = "journal"


class ClusterError(RetryableError):
    """The log of the cluster cannot be reached or cannot be read; what was asked for may have happened.

    A retry with the same id is safe, at this node or at another.
    """

    code = "cluster"


class GoneError(RetryableError):
    """The client disconnected while its offer was pending, so no response can be sent."""

    code = "withdrawn"


# --- how an offer can end without a sync, for callers in Python --------------------------------------------


class GaveUp(NamedTuple):
    """Who had been there and left: `how` is `timed-out`, `withdrawn`, `disconnected` or `aborted`, `at` is RFC 3339."""

    actor: str
    how: str
    at: str


class Hindrance(NamedTuple):
    """Why an offer did not sync, in words: about `actor` and `event`, either of which may be empty."""

    actor: str
    event: str
    reason: str


class TimedOutError(RetryableError, TimeoutError):
    """The timeout of the offer passed; the offer is in no later sync (G6).

    `waited_s` is how long the offer was pending. `present` are the actors whose offers were pending then. `missing` is
    how many more offers were needed, 1 or more; with a roster, `missing_actors` names them.

    `gave_up` are actors that had been there and left a short time before. `never_came` are those on the roster that
    were not there at all; both are about what the server remembers, the last ten minutes.

    `reasons` say why those that were there did not sync: at most five, about `actor` and `event`, in words.
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
        gave_up: tuple[GaveUp, ...] = (),
        never_came: tuple[str, ...] = (),
        reasons: tuple[Hindrance, ...] = (),
    ) -> None:
        super().__init__(message)
        self.waited_s = waited_s
        self.present = present
        self.missing = missing
        self.missing_actors = missing_actors
        self.gave_up = gave_up
        self.never_came = never_came
        self.reasons = reasons


class WithdrawnError(RetryableError):
    """The offer was withdrawn by its own client."""

    code = "withdrawn"


class AbortedError(RetryableError):
    """The offer was aborted by another client: `by` (may be empty) says who, `reason` says why."""

    code = "aborted"

    def __init__(self, message: str, *, by: str, reason: str) -> None:
        super().__init__(message)
        self.by = by
        self.reason = reason


class RefusedError(UsageError):
    """The server understood the request and refused it: a missing or wrong token, a reused id, too large.

    `code` says which; it is a key of `PROBLEMS`.
    """

    def __init__(self, message: str, code: str) -> None:
        super().__init__(message)
        self.code = code


class UnavailableError(RetryableError):
    """No server answered in time, or the server is full or shutting down, or the answer is not one of syncnet.

    `retry_after_s` is the value of the server's `Retry-After`, None if it sent none or there was no answer. It is
    unknown whether the offer was made; a retry with the same id is safe. An answer that is malformed, or not one to
    the request, has `retry_safe` False: the message says what was expected and what came.
    """

    def __init__(self, message: str, code: str = "unavailable", retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.retry_after_s = retry_after_s
