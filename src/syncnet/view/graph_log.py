"""The graph log: one line per happening, a lane per pending offer, as semantics.md draws it.

    ┌─ VM:coin
    │┌ CUST:coin
    └└ CUST:coin VM:coin

`GraphLog.lines` takes the effects in order and returns the lines to write. It ignores offers whose opening it did not
see. A pending offer has the leftmost lane that was free when it arrived. A line ends at its rightmost lane in
use, but is never narrower than two cells.

At most `LANES_MAX` lanes are drawn, so that a line costs the same however many offers are pending. An offer that finds
all of them in use shares one further column, `│+N`, with all others like it. N is how many of them are pending after
the line; the sign before it is that of a lane, and says what the line did to one or more of them:

    …││┌+1 VM:coin
    …││┌+2 CUST:coin
    …││└+0 CUST:coin VM:coin

An offer stays in its column until it ends. A lane that becomes free is for the next offer that arrives.
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
from syncnet.core.wording import duration, listed, who_was_missing

__all__ = ["LANES_MAX", "GraphLog"]

LANES_MAX: Final = 64
"""Lanes that are drawn: half of a wide terminal, and at most 200 bytes of a line."""

_OPENS: Final = "┌"
_SYNCS: Final = "└"
_ENDS: Final = "┴"
_RUNS: Final = "│"
_FREE: Final = " "
_FIRST: Final = "─"


class GraphLog:
    """The lanes of one log, over all namespaces."""

    def __init__(self) -> None:
        self._cells = ""  # one per lane up to the rightmost in use: `│` or a blank
        self._lane_of: dict[tuple[str, str], int] = {}  # LANES_MAX for an offer in the shared column
        self._sharing = 0  # how many offers are in the shared column

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
                return self._end(offer, _timed_out(effect))
            case Aborted(_, offer, by, reason):
                return self._end(offer, f"aborted{f' by {by}' if by else ''}: {reason}")
            case SearchExhausted(_, offer, event):
                text = f"{_member(offer, event)} searched up to the bound; a set that can sync may not have been found"
                return [self._line(self._cells, text)]
        return []

    def _open(self, key: tuple[str, str], text: str) -> str:
        cells = self._cells
        lane = cells.find(_FREE)
        if lane < 0:
            lane = len(cells)
        self._lane_of[key] = lane
        if lane == LANES_MAX:
            self._sharing += 1
            return self._line(cells, text, _OPENS)
        before, after = cells[:lane], cells[lane + 1 :]
        self._cells = f"{before}{_RUNS}{after}"
        return self._line(f"{before}{_OPENS}{after}", text, second=_FIRST)

    def _end(self, offer: Offer, how: str) -> list[str]:
        return self._close((_key(offer),), _ENDS, f"{_member(offer)} {how}")

    def _close(self, keys: Iterable[tuple[str, str]], sign: str, text: str) -> list[str]:
        """End the lanes of some offers, all by that sign."""
        lanes = [self._lane_of.pop(key) for key in keys if key in self._lane_of]
        if not lanes:
            return []
        cells = list(self._cells)
        shared = _RUNS
        for lane in lanes:
            if lane == LANES_MAX:
                self._sharing -= 1
                shared = sign
            else:
                cells[lane] = sign
        line = self._line("".join(cells), text, shared)
        self._cells = "".join(cells).replace(sign, _FREE).rstrip(_FREE)
        return [line] if self._lane_of else [line, ""]

    def _line(self, cells: str, text: str, shared: str = _RUNS, second: str = _FREE) -> str:
        """Return a line; `shared` is the sign of the shared column, `second` the second cell of a lone lane."""
        if self._sharing or shared != _RUNS:
            cells = f"{cells:<{LANES_MAX}}{shared}+{self._sharing}"
        return f"{cells}{second if len(cells) == 1 else ''} {text}"


def _timed_out(outcome: TimedOut) -> str:
    """Return how an offer ended whose timeout has passed: after how long, and who was not there."""
    offer = outcome.offer
    waited_ns = outcome.at_ns - offer.at_ns if offer.timeout_ns is None else offer.timeout_ns
    text = f"timed out after {duration(waited_ns)}"
    if outcome.present:
        text += f"; present: {listed(outcome.present)}"
    elif not outcome.gave_up and not outcome.missing_actors:
        return f"{text}; nobody came"
    return f"{text}; {who_was_missing(outcome)}"


def _key(offer: Offer) -> tuple[str, str]:
    return offer.namespace, offer.id


def _member(offer: Offer, event: str = "") -> str:
    """Return `ACTOR:event`; with no event given a choice shows all of its own."""
    return _name(offer.namespace, event or "|".join(offer.events), offer.actor)


def _name(namespace: str, event: str, actor: str) -> str:
    """Return `ACTOR:event`; other namespaces than the default stand before it."""
    return f"{actor}:{event}" if namespace == DEFAULT_NAMESPACE else f"{namespace}/{actor}:{event}"
