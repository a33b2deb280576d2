"""The graph log: one line per happening, a lane per pending offer, as semantics.md draws it.

    ┌─ VM:coin
    │┌ CUST:coin
    └└ CUST:coin VM:coin

`Lanes.lines` is fed the effects in order and says the lines to write; of offers whose opening it was not fed it is
silent. A pending offer has the leftmost lane that was
free when it came. A line ends at its rightmost lane in use, but is never narrower than two cells.
"""

from __future__ import annotations

import heapq
from typing import Final

from syncnet.core.commands import DEFAULT_NAMESPACE, Offer
from syncnet.core.effects import (
    Aborted,
    Attached,
    Effect,
    Missed,
    Pending,
    Refused,
    Retold,
    Synced,
    TimedOut,
    Withdrawn,
)

__all__ = ["Lanes"]

_OPENS: Final = "┌"
_SYNCS: Final = "└"
_ENDS: Final = "┴"
_RUNS: Final = "│"
_FREE: Final = " "


class Lanes:
    """The lanes of one log, over all namespaces."""

    def __init__(self) -> None:
        self._cells: list[str] = []  # one per lane up to the rightmost in use: `│` or a blank
        self._free: list[int] = []  # a heap that holds every blank one, and some that are no longer
        self._lane_of: dict[tuple[str, str], int] = {}

    def lines(self, effect: Effect) -> list[str]:
        """Return the lines that one effect adds to the log, without line ends."""
        if isinstance(effect, Pending):
            return [self._open(effect.offer)]
        if isinstance(effect, Synced):
            text = " ".join([_member(member, effect.event) for member in reversed(effect.members)])
            return self._close(effect.members, _SYNCS, text)
        match effect:
            case Withdrawn(_, offer, cause):
                return self._close((offer,), _ENDS, f"{_member(offer)} {cause}")
            case TimedOut(_, offer):
                return self._close((offer,), _ENDS, f"{_member(offer)} timed out")
            case Missed(_, offer, event):
                return [self._line(f"{_member(offer, event)} searched up to the bound; a group may have been missed")]
            case Aborted(_, offer, by, reason):
                return self._close((offer,), _ENDS, f"{_member(offer)} aborted{f' by {by}' if by else ''}: {reason}")
            case Refused() | Attached() | Retold():
                return []

    def _open(self, offer: Offer) -> str:
        lane = self._leftmost_free()
        self._lane_of[offer.namespace, offer.id] = lane
        self._cells[lane] = _OPENS
        line = self._line(_member(offer), filler="─")
        self._cells[lane] = _RUNS
        return line

    def _leftmost_free(self) -> int:
        while self._free:
            lane = heapq.heappop(self._free)
            if lane < len(self._cells) and self._cells[lane] == _FREE:
                return lane
        self._cells.append(_FREE)
        return len(self._cells) - 1

    def _close(self, offers: tuple[Offer, ...], sign: str, text: str) -> list[str]:
        keys = [(offer.namespace, offer.id) for offer in offers]
        lanes = [self._lane_of.pop(key) for key in keys if key in self._lane_of]
        if not lanes:
            return []
        for lane in lanes:
            self._cells[lane] = sign
        lines = [self._line(text)]
        for lane in lanes:
            self._cells[lane] = _FREE
            heapq.heappush(self._free, lane)
        while self._cells and self._cells[-1] == _FREE:
            self._cells.pop()
        if not self._cells:
            lines.append("")
        return lines

    def _line(self, text: str, filler: str = _FREE) -> str:
        return f"{''.join(self._cells)}{filler if len(self._cells) == 1 else ''} {text}"


def _member(offer: Offer, event: str = "") -> str:
    """Return `ACTOR:event`; with no event given a choice shows all of its own. Other namespaces stand before it."""
    where = "" if offer.namespace == DEFAULT_NAMESPACE else f"{offer.namespace}/"
    return f"{where}{offer.actor}:{event or '|'.join(offer.events)}"
