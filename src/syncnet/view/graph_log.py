"""The graph log: one line per happening, a lane per pending offer, as semantics.md draws it.

    ┌─ VM:coin
    │┌ CUST:coin
    └└ CUST:coin VM:coin

`GraphLog.lines` is fed what an observer sees, in order, and says the lines to write; of offers whose opening it was not
fed it is silent. A pending offer has the leftmost lane that was free when it came. A line ends at its rightmost lane in
use, but is never narrower than two cells.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from syncnet.core.commands import DEFAULT_NAMESPACE, Offer
from syncnet.core.effects import (
    Aborted,
    Pending,
    SearchExhausted,
    Synced,
    TimedOut,
    Withdrawn,
)
from syncnet.core.terms import Met, Pair, Rested, Seen

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

    def lines(self, seen: Seen) -> list[str]:
        """Return the lines that one more thing adds to the log, without line ends."""
        if type(seen) is Rested:
            terms = seen.terms
            return [self._open((terms.key[0], seen.id), _name(*terms.key, terms.actor))]
        if type(seen) is Met:
            return self._meet(seen.pair)
        match seen:
            case Pending(offer):
                return [self._open(_key(offer), _member(offer))]
            case Synced(_, _, event, _, members):
                text = " ".join([_member(member, event) for member in reversed(members)])
                return self._close(map(_key, members), _SYNCS, text)
            case Withdrawn(_, offer, cause):
                return self._end(offer, str(cause))
            case TimedOut(_, offer):
                return self._end(offer, "timed out")
            case Aborted(_, offer, by, reason):
                return self._end(offer, f"aborted{f' by {by}' if by else ''}: {reason}")
            case SearchExhausted(_, offer, event):
                return [self._line(f"{_member(offer, event)} searched up to the bound; a group may have been missed")]
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

    def _meet(self, pair: Pair) -> list[str]:
        """Open the lane of the second of a pair, and close both; the same as `_open` and `_close`, in half the time."""
        _, first, first_id, _, second, second_id, _ = pair
        namespace, event = first.key
        newer = _name(namespace, event, second.actor)
        text = f"{newer} {_name(namespace, event, first.actor)}"
        key = (namespace, second_id)
        opened = self._open(key, newer)
        lane = self._lane_of.pop((namespace, first_id), None)
        if lane is None:
            return [opened, *self._close((key,), _SYNCS, text)]
        other = self._lane_of.pop(key)
        if other < lane:
            lane, other = other, lane
        cells = self._cells
        before, between, after = cells[:lane], cells[lane + 1 : other], cells[other + 1 :]
        closed = f"{before}{_SYNCS}{between}{_SYNCS}{after} {text}"
        self._cells = f"{before}{_FREE}{between}{_FREE}{after}".rstrip(_FREE)
        return [opened, closed] if self._cells else [opened, closed, ""]

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
