"""Warns of actors that are stuck together: once for each circle, on standard error.

Every few seconds the pending offers are copied under the coordinator's lock, so many at most, and looked through for
circles (`core/circles.py`). Only one that is certain, and was there at the look before, is warned of.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from syncnet.coordinator.coordinator import Coordinator
from syncnet.core.circles import circles
from syncnet.core.commands import DEFAULT_NAMESPACE, Offer
from syncnet.core.limits import EXPLANATION_STEPS_MAX
from syncnet.core.steps import Steps

__all__ = ["CircleWatch"]

_log = logging.getLogger("syncnet")

_INTERVAL_S: Final = 5.0
_OFFERS_MAX: Final = 5_000
"""Pending offers that are looked through; the namespaces after them are not."""
_NAMESPACES_MAX: Final = 1_000


class CircleWatch:
    """Looks for circles among the pending offers of one coordinator."""

    def __init__(self, coordinator: Coordinator) -> None:
        self._coordinator = coordinator
        self._seen: dict[str, bool] = {}  # the circles of the last look, and whether they were warned of

    async def run(self) -> None:
        """Look every few seconds, until cancelled."""
        while True:
            await asyncio.sleep(_INTERVAL_S)
            self.look()

    def look(self) -> None:
        """Warn of the circles that were there at the last look, and still are."""
        steps = Steps(EXPLANATION_STEPS_MAX)
        seen: dict[str, bool] = {}
        for namespace, pending in self._pending():
            where = "" if namespace == DEFAULT_NAMESPACE else f" in the namespace {namespace}"
            for circle in circles(pending, steps):
                if circle.is_certain:
                    text = f"{circle.text()}{where}"
                    seen[text] = text in self._seen
                    if seen[text] and not self._seen[text]:
                        _log.warning("%s", text)
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
