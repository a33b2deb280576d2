"""The shapes of requests that are measured over HTTP, and the goal of each.

A shape is a name in `requests.lua`, which makes the requests. A goal is a share of the rate of a ceiling
(`ceiling.py`); it is higher where the server runs compiled.
"""

from __future__ import annotations

from typing import Final, NamedTuple

__all__ = [
    "BARRIER",
    "BODY",
    "GET_SHAPES",
    "MIXED",
    "MIXED_GOAL",
    "ONE_EVENT",
    "PAIRWISE",
    "PLAIN",
    "POST_SHAPES",
    "SHAPES",
    "SPREAD_GOAL",
    "TAKEN",
    "USUAL",
    "Goal",
    "Shape",
]

USUAL: Final = "ceiling: fixed answers, a coroutine each"
TAKEN: Final = "ceiling: fixed answers, taken as syncnet takes them"
PAIRWISE: Final = "ceiling: taken likewise, answered two by two"
BODY: Final = "ceiling: POST, body read, answered two by two"


class Goal(NamedTuple):
    """The least that a ratio should be, where the server runs pure Python and where it runs compiled."""

    pure: float
    compiled: float

    def of(self, *, is_compiled: bool) -> float:
        """Return the one that applies."""
        return self.compiled if is_compiled else self.pure


class Shape(NamedTuple):
    """One shape of request. `lua` is its name in `requests.lua`.

    `in_event` is how many requests meet in an event (0: all requests name one event), `parties` how many requests make
    a meeting; it is no whole number where shapes are mixed.
    """

    title: str
    lua: str
    in_event: int = 2
    parties: float = 2
    is_post: bool = False
    goal: Goal | None = None

    @property
    def ceiling(self) -> str:
        """The name of the ceiling that this shape is compared with."""
        return BODY if self.is_post else PAIRWISE

    def fits(self, connections: int) -> bool:
        """Return whether so many connections are enough: on too few everybody would wait for ever."""
        return connections >= max(2, self.parties) and (connections > 2 or self.lua != "mixed")


_GET: Final = Goal(0.45, 0.65)
_SELECTOR: Final = Goal(0.35, 0.5)
_POST: Final = Goal(0.4, 0.5)
SPREAD_GOAL: Final = Goal(0.55, 0.6)
"""The slowest of the GET shapes, as a share of the fastest."""

MIXED_GOAL: Final = Goal(0.55, 0.6)
"""The mixed requests, as a share of the plain ones."""

PLAIN: Final = Shape("plain", "plain", goal=_GET)
ONE_EVENT: Final = Shape("plain, all in one event", "plain", in_event=0)
BARRIER: Final = Shape("barriers of ten, `mates=9`", "ten", 10, 10)
MIXED: Final = Shape("mixed, `timeout=5s` on all", "mixed", 0, 60 / 29)

GET_SHAPES: Final = (
    PLAIN,
    Shape("`mates=1`", "mates", goal=_GET),
    Shape("`timeout=5s`", "timeout", goal=_GET),
    Shape("one more header", "header", goal=_GET),
    Shape("`payload=hello`", "payload", goal=_GET),
    Shape("`mates=2`: three meet", "three", 3, 3, goal=_GET),
    Shape("labels and a selector", "selector", goal=_SELECTOR),
    Shape("labels and a selector, new for each pair", "own_selector", goal=_SELECTOR),
    Shape("`id`", "id", goal=_GET),
    Shape("a choice of two events", "choice", goal=_GET),
    Shape("a roster, `expect=`", "roster", goal=_GET),
)
POST_SHAPES: Final = (
    Shape("POST of JSON", "post", is_post=True, goal=_POST),
    Shape("POST of JSON as our clients send it", "post_client", is_post=True, goal=_POST),
)
SHAPES: Final = (*GET_SHAPES, *POST_SHAPES, BARRIER, MIXED, ONE_EVENT)
