"""The one meter of the work that grows with what clients sent.

Every loop of the search, of the index and of an explanation whose length somebody else decides takes its steps from a
`Steps` first, or as it goes. So one client's offers cannot hold up the others (G8): the work of one command is bounded
by the steps that it is allowed, and by what the client itself sent with it.

What a step costs. One step is about half a microsecond of pure Python on a machine of 2023: the comparison of two
ordinary offers takes two, to ask a set whether one more may join takes one or two, to let it join takes four. Prices
are stated where they are taken, as so many items for one step. `make worst` looks for the dearest work per step.

How many steps a command takes depends only on it and on the offers that are pending, never on the history of an index,
on hashes, or on whether the state was restored (G4). So a price is that of the worst case where the real work depends
on history.
"""

from __future__ import annotations

__all__ = ["BoundHit", "Steps"]


class BoundHit(Exception):  # noqa: N818 - a way out, not an error
    """The steps are used up."""


class Steps:
    """How many steps were `allowed` for one command, and how many are `left`: below 0 where they were not enough."""

    __slots__ = ("allowed", "left")

    def __init__(self, steps_max: int) -> None:
        self.allowed: int = steps_max
        self.left: int = steps_max

    @property
    def used(self) -> int:
        """How many steps were taken; all where they were not enough."""
        return self.allowed - self.left if self.left > 0 else self.allowed

    def begin(self, steps_max: int) -> None:
        """Allow so many steps for a new command."""
        self.allowed = self.left = steps_max

    def allow(self, steps_max: int) -> None:
        """Allow so many in all, counted from the beginning of the command, where that is more than before."""
        if steps_max > self.allowed:
            self.left += steps_max - self.allowed
            self.allowed = steps_max

    def set_aside(self, steps: int) -> int:
        """Keep so many for later work, which gets them by `give_back`; return how many."""
        self.left -= steps
        return steps

    def give_back(self, kept: int) -> None:
        """Allow again what was set aside, also where all others were used up."""
        self.left = max(self.left, 0) + kept

    def take(self, steps: int) -> None:
        """Take so many. The innermost loops do the same in place, because a call costs more than a comparison.

        :raises BoundHit: fewer are left; no more can be taken then.
        """
        self.left -= steps
        if self.left < 0:
            raise BoundHit
