"""What a run of the bench was asked for, beyond the names of the sections."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

__all__ = ["Options"]


@dataclass(frozen=True, slots=True)
class Options:
    """`before` is a checkout of another commit, measured in the same run. The rest makes the section *http* shorter.

    `rounds` is for every number of connections, None: as many as are usual. `connections` are the numbers to measure
    with. `rows` are parts of names: only our rows that contain one of them are measured, and no peers; the ceilings and
    the plain row always are.
    """

    before: Path | None = None
    rounds: int | None = None
    connections: tuple[int, ...] = ()
    rows: tuple[str, ...] = ()

    @property
    def is_whole(self) -> bool:
        """Whether everything is measured, nothing else, and as often as usual: only then is the document written."""
        return self == Options()
