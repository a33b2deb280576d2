"""Waiters: who gets the result of an offer, and what happens when its client disconnects.

The life of an offer's waiter. The states are what `Offer.waiter` is, the events come from the front end and the log:

| state     | `Offer.waiter` is           | event        | next state                                                 |
| --------- | --------------------------- | ------------ | ---------------------------------------------------------- |
| attended  | the front end's waiter      | result       | ended; the waiter gets the result                          |
|           |                             | disconnected | lingering with a linger, otherwise abandoned               |
|           |                             | asked again  | attended; the old waiter gets `ReplacedError`              |
|           |                             | moved        | elsewhere; the old waiter gets `ReplacedError`             |
| lingering | a `Lingering`               | result       | ended                                                      |
|           |                             | asked again  | attended                                                   |
|           |                             | linger over  | abandoned                                                  |
|           |                             | moved        | elsewhere                                                  |
| abandoned | None, a `Withdraw` appended | asked again  | attended; the `Withdraw` then has no effect                |
|           |                             | result       | ended                                                      |
|           |                             | moved        | elsewhere; the `Withdraw` then has no effect               |
|           |                             | refused      | lingering for half a second; the log refused the `Withdraw` |
| elsewhere | `ELSEWHERE`                 | result       | ended                                                      |
|           |                             | asked again  | attended                                                   |
|           |                             | adopted      | lingering                                                  |
| ended     | None                        |              |                                                            |

The state *elsewhere* is that of an offer whose client is connected to another node of the cluster. It is *moved* when
its client asks again at that node or that node claims it, and *adopted* by this node when that one is lost.

`TRANSITIONS` has the same table as data: the coordinator asks it in the rare cases (asked again, linger over,
refused), and a test compares the two. After a shutdown pending offers have no waiter and are not withdrawn.

A `Withdraw` says how often its offer had been asked for again when it was appended. If a request that asks again stands
before it in the log, the numbers differ and it has no effect (`machine.py`): a client that came back in time keeps its
offer, whatever the log's delay is.
"""

from __future__ import annotations

from enum import Enum
from typing import Final, Protocol, TypeAlias

from syncnet.coordinator.timers import Timers
from syncnet.core.commands import Offer
from syncnet.core.effects import Outcome, Synced
from syncnet.errors import SyncnetError
from syncnet.log import ELSEWHERE

__all__ = ["TRANSITIONS", "Event", "Lingering", "Result", "State", "Waiter", "state_of"]

Result: TypeAlias = Outcome | SyncnetError
"""How an offer ended; or why the wait for it ended, although the offer may still be pending."""


class Waiter(Protocol):
    """The callback of a front end. It gets one result, under the coordinator's lock, on whichever thread.

    It must enqueue the result and return; it must not raise and must not call the coordinator.
    """

    def charge(self, steps: int) -> None:
        """Note that the offer took much work, in steps of the search; called before the result, if at all."""

    def synced(self, synced: Synced, rank: int) -> None:
        """Take the sync; the offer is the member at position `rank`."""

    def ended(self, result: Result) -> None:
        """Take any other result."""


class Lingering:
    """The waiter of a pending offer whose client has disconnected, until its linger is over."""

    __slots__ = ("_key", "_tick", "_timers", "offer")

    def __init__(self, offer: Offer, linger_ns: int, timers: Timers) -> None:
        self.offer: Offer = offer
        self._timers = timers
        # The key of its timer differs from that of the offer's timeout, which may be in the same slot.
        self._key = offer.spec.namespace + "\n", offer.id
        self._tick = timers.add(linger_ns, self._key, self)

    def charge(self, steps: int) -> None:
        """Do nothing: the client has disconnected."""

    def synced(self, synced: Synced, rank: int) -> None:  # noqa: ARG002 - no client is connected to get it
        """Remove the timer."""
        self._timers.remove(self._tick, self._key)

    def ended(self, result: Result) -> None:  # noqa: ARG002 - see above
        """Remove the timer."""
        self._timers.remove(self._tick, self._key)


class State(Enum):
    """The state of an offer's waiter."""

    ATTENDED = "attended"
    LINGERING = "lingering"
    ABANDONED = "abandoned"
    ELSEWHERE = "elsewhere"
    ENDED = "ended"


class Event(Enum):
    """What can happen to an offer's waiter."""

    RESULT = "result"
    DISCONNECTED = "disconnected"
    ASKED_AGAIN = "asked again"
    LINGER_OVER = "linger over"
    REFUSED = "refused"
    MOVED = "moved"
    ADOPTED = "adopted"


TRANSITIONS: Final[dict[tuple[State, Event], State]] = {
    (State.ATTENDED, Event.RESULT): State.ENDED,
    (State.ATTENDED, Event.DISCONNECTED): State.LINGERING,
    (State.ATTENDED, Event.ASKED_AGAIN): State.ATTENDED,
    (State.ATTENDED, Event.MOVED): State.ELSEWHERE,
    (State.LINGERING, Event.RESULT): State.ENDED,
    (State.LINGERING, Event.ASKED_AGAIN): State.ATTENDED,
    (State.LINGERING, Event.LINGER_OVER): State.ABANDONED,
    (State.LINGERING, Event.MOVED): State.ELSEWHERE,
    (State.ABANDONED, Event.RESULT): State.ENDED,
    (State.ABANDONED, Event.ASKED_AGAIN): State.ATTENDED,
    (State.ABANDONED, Event.REFUSED): State.LINGERING,
    (State.ABANDONED, Event.MOVED): State.ELSEWHERE,
    (State.ELSEWHERE, Event.RESULT): State.ENDED,
    (State.ELSEWHERE, Event.ASKED_AGAIN): State.ATTENDED,
    (State.ELSEWHERE, Event.ADOPTED): State.LINGERING,
}
"""The table of the module's docstring; without a linger, the linger is over at once."""


def state_of(offer: Offer) -> State:
    """Return the state of a pending offer's waiter."""
    if offer.waiter is None:
        return State.ABANDONED
    if offer.waiter is ELSEWHERE:
        return State.ELSEWHERE
    return State.LINGERING if isinstance(offer.waiter, Lingering) else State.ATTENDED
