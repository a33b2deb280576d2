"""What a machine counts: its syncs, their members, how long these waited, and how offers end.

The counts are of this process: they start at 0, and commands that a log replays are not counted (the coordinator sees
to that). They are no part of the state, and nothing is decided by them.

The machine adds to them in place, without a call, because it does so for every sync. The buckets of a distribution are
bounds in ascending order; the last bucket holds what is above them.
"""

from __future__ import annotations

from typing import Final

__all__ = ["ENDS", "FEW_MEMBERS", "MEMBERS_BOUNDS", "SHORT_WAIT_NS", "WAIT_BOUNDS_NS", "Counts"]

_NEVER: Final = 4_000_000_000_000_000_000
"""Above any number of members and any wait, and still a small integer when compiled."""
_MS: Final = 1_000_000
_S: Final = 1_000_000_000

FEW_MEMBERS: Final = 4
"""Up to here a bucket of members has one number only."""
MEMBERS_BOUNDS: Final[tuple[int, ...]] = (1, 2, 3, 4, 8, 16, 32, 64, 128, 256, 1_024, _NEVER)
SHORT_WAIT_NS: Final = _MS
"""The first bound of a wait; waits up to it are not counted one by one, as most are so short in a busy server."""
WAIT_BOUNDS_NS: Final[tuple[int, ...]] = (
    *[each * _MS for each in (1, 5, 25, 100, 500)],
    *[each * _S for each in (1, 5, 10, 30, 60, 300, 1_800, 3_600, 21_600, 86_400)],
    _NEVER,
)

ENDS: Final = ("timed-out", "withdrawn", "disconnected", "lost", "aborted", "refused")
"""The words for the ends of offers without a sync."""


class Counts:
    """The counts of one machine since it began to count.

    `syncs` and `waits` have a number for each bound. The first of `waits` is not used: `synced` are all members, and
    those that are in no other bucket waited for a short time, or not at all. `ends` are the offers that ended without a
    sync, by the word for it. `exhausted` are the searches that hit their bound.
    """

    __slots__ = ("ends", "exhausted", "synced", "syncs", "wait_ns", "waits")

    def __init__(self) -> None:
        self.syncs: list[int] = [0] * len(MEMBERS_BOUNDS)
        self.synced: int = 0
        self.waits: list[int] = [0] * len(WAIT_BOUNDS_NS)
        self.wait_ns: int = 0
        self.exhausted: int = 0
        self.ends: dict[str, int] = dict.fromkeys(ENDS, 0)

    def add(self, other: Counts) -> None:
        """Add what another machine has counted."""
        self.syncs = [one + more for one, more in zip(self.syncs, other.syncs, strict=True)]
        self.waits = [one + more for one, more in zip(self.waits, other.waits, strict=True)]
        self.ends = {word: ends + other.ends[word] for word, ends in self.ends.items()}
        self.synced += other.synced
        self.wait_ns += other.wait_ns
        self.exhausted += other.exhausted
