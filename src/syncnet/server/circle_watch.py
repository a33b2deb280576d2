"""Looks for actors that are stuck together: counts the circles, and warns once of each.

Every few seconds the pending offers are copied under the coordinator's lock, so many at most, and looked through for
circles (`core/circles.py`). All that were found are counted. Only one that is certain, and was there at the look
before, is warned of.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final, TypeAlias

from syncnet.coordinator.coordinator import Coordinator
from syncnet.core.circles import Circle, circles
from syncnet.core.commands import DEFAULT_NAMESPACE, Offer
from syncnet.core.limits import EXPLANATION_STEPS_MAX
from syncnet.core.steps import Steps

__all__ = ["CircleWatch", "WarnOfCircle"]

_log = logging.getLogger("syncnet")

_INTERVAL_S: Final = 5.0
_OFFERS_MAX: Final = 5_000
"""Pending offers that are looked through; the namespaces after them are not."""
_NAMESPACES_MAX: Final = 1_000

WarnOfCircle: TypeAlias = Callable[[int, str, Circle], None]
"""Gets the time (nanoseconds since the Unix epoch), the namespace and the circle; must not block."""


class CircleWatch:
    """Looks for circles among the pending offers of one coordinator; `warn` is called once for each certain one."""

    def __init__(self, coordinator: Coordinator, warn: WarnOfCircle | None = None) -> None:
        self._coordinator = coordinator
        self._warn = _warn_on_standard_error if warn is None else warn
        self.found: dict[bool, int] = {True: 0, False: 0}
        """How many circles the last look found, those that are certain and those that are possible."""
        self._seen: dict[tuple[str, str], bool] = {}  # the circles of the last look, and whether they were warned of

    async def run(self) -> None:
        """Look every few seconds, until cancelled."""
        while True:
            await asyncio.sleep(_INTERVAL_S)
            self.look()

    def look(self) -> None:
        """Count the circles, and warn of those that were there at the last look, and still are."""
        steps = Steps(EXPLANATION_STEPS_MAX)
        found = {True: 0, False: 0}
        seen: dict[tuple[str, str], bool] = {}
        for namespace, pending in self._pending():
            for circle in circles(pending, steps):
                found[circle.is_certain] += 1
                if circle.is_certain:
                    key = namespace, circle.text()
                    seen[key] = key in self._seen
                    if seen[key] and not self._seen[key]:
                        self._warn(self._coordinator.now_ns(), namespace, circle)
        self.found = found
        self._seen = seen

    def _pending(self) -> list[tuple[str, list[Offer]]]:
        """Return the pending offers of the namespaces that have two or more, so many in all."""
        found: list[tuple[str, list[Offer]]] = []
        left = _OFFERS_MAX
        with self._coordinator.lock:
            machine = self._coordinator.machine
            if machine.pending_total < 2:
                return []
            for namespace, pending, _ in machine.namespaces(0, _NAMESPACES_MAX):
                if 2 <= pending <= left:
                    left -= pending
                    found.append((namespace, machine.pending(namespace)))
        return found


def _warn_on_standard_error(at_ns: int, namespace: str, circle: Circle) -> None:  # noqa: ARG001 - logging adds no time
    where = "" if namespace == DEFAULT_NAMESPACE else f" in the namespace {namespace}"
    _log.warning("%s%s", circle.text(), where)
