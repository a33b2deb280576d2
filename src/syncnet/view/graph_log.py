"""The graph log: one line per happening, a lane per pending offer, as semantics.md draws it.

    ┌─ VM:coin
    │┌ CUST:coin
    └└ CUST:coin VM:coin

`GraphLog.lines` takes the effects in order and returns the lines to write. It ignores offers whose opening it did not
see. A pending offer has the leftmost lane that was free when it arrived. A line ends at its rightmost lane in
use, but is never narrower than two cells.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from syncnet.core.commands import DEFAULT_NAMESPACE, Offer
from syncnet.core.effects import (
    Aborted,
    Effect,
    Pending,
    SearchExhausted,
    Synced,
    TimedOut,
    Withdrawn,
)

__all__ = ["GraphLog"]

_OPENS: Final = "┌"
_SYNCS: Final = "└"
_ENDS: Final = "┴"
_RUNS: Final = "│"
_FREE: Final = " "


class GraphLog:
    """The lanes of one log, over all namespaces."""

    def __init__(self) -> None:
        self._cells = ""  # one per lane up to the rightmost in use: `│` or a blank
        self._lane_of: dict[tuple[str, str], int] = {}

    def lines(self, effect: Effect) -> list[str]:
        """Return the lines that one more effect adds to the log, without line ends."""
        if isinstance(effect, Pending):
            return [self._open(_key(effect.offer), _member(effect.offer))]
        if isinstance(effect, Synced):
            text = " ".join([_member(member, effect.event) for member in reversed(effect.members)])
            return self._close(map(_key, effect.members), _SYNCS, text)
        match effect:
            case Withdrawn(_, offer, cause):
                return self._end(offer, str(cause))
            case TimedOut(_, offer):
                return self._end(offer, "timed out")
            case Aborted(_, offer, by, reason):
                return self._end(offer, f"aborted{f' by {by}' if by else ''}: {reason}")
            case SearchExhausted(_, offer, event):
                text = f"{_member(offer, event)} searched up to the bound; a set that can sync may not have been found"
                return [self._line(text)]
        return []

    def _open(self, key: tuple[str, str], text: str) -> str:
        cells = self._cells
        lane = cells.find(_FREE)
        if lane < 0:
            lane = len(cells)
        self._lane_of[key] = lane
        if not cells:
            self._cells = _RUNS
            return f"{_OPENS}─ {text}"
        before, after = cells[:lane], cells[lane + 1 :]
        self._cells = f"{before}{_RUNS}{after}"
        return f"{before}{_OPENS}{after} {text}"

    def _end(self, offer: Offer, how: str) -> list[str]:
        return self._close((_key(offer),), _ENDS, f"{_member(offer)} {how}")

    def _close(self, keys: Iterable[tuple[str, str]], sign: str, text: str) -> list[str]:
        """End the lanes of some offers, all by that sign."""
        lanes = [self._lane_of.pop(key) for key in keys if key in self._lane_of]
        if not lanes:
            return []
        cells = list(self._cells)
        for lane in lanes:
            cells[lane] = sign
        self._cells = "".join(cells)
        line = self._line(text)
        self._cells = self._cells.replace(sign, _FREE).rstrip(_FREE)
        return [line] if self._cells else [line, ""]

    def _line(self, text: str) -> str:
        return f"{self._cells}{_FREE if len(self._cells) == 1 else ''} {text}"


def _key(offer: Offer) -> tuple[str, str]:
    return offer.namespace, offer.id


def _member(offer: Offer, event: str = "") -> str:
    """Return `ACTOR:event`; with no event given a choice shows all of its own."""
    return _name(offer.namespace, event or "|".join(offer.events), offer.actor)


def _name(namespace: str, event: str, actor: str) -> str:
    """Return `ACTOR:event`; other namespaces than the default stand before it."""
    return f"{actor}:{event}" if namespace == DEFAULT_NAMESPACE else f"{namespace}/{actor}:{event}"
