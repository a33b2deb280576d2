"""The log of retries, for `logging`: the logger `syncnet.client`.

The first failure of an outage is a warning, later ones and the recovery are of level INFO. The logger has a handler
that does nothing, as the documentation of `logging` asks of libraries: a program that configures no logging sees
nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from syncnet.errors import SyncnetError

if TYPE_CHECKING:
    import logging

__all__ = ["log_recovery", "log_retry"]


def log_retry(request: str, failure: SyncnetError, delay_s: float, failures: int) -> None:
    """Log that `request` has failed, for the `failures`-th time of this outage, and when it is sent again."""
    logger = _logger()
    level = 30 if failures == 1 else 20  # WARNING and INFO
    logger.log(level, "%s failed (attempt %d): %s; next attempt in %.3f s", request, failures, failure, delay_s)


def log_recovery(request: str, failures: int) -> None:
    """Log that `request` could be sent again after so many failures."""
    _logger().info("%s was sent again after %d failed attempts", request, failures)


def _logger() -> logging.Logger:
    import logging  # slow to import, and not needed until a request fails

    logger = logging.getLogger("syncnet.client")
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())
    return logger
