"""`syncnet` with a journal that makes snapshots more often, so that a test has many of them.

`python -m tests.crash.server SNAPSHOT_COMMANDS ARGUMENT…`
"""

import importlib
import sys
from typing import Any

from syncnet.cli import main
from syncnet.log.journal import Journal

SNAPSHOT_COMMANDS = int(sys.argv.pop(1)) if __name__ == "__main__" else 50


class FrequentSnapshotJournal(Journal):
    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options, snapshot_commands=SNAPSHOT_COMMANDS)


if __name__ == "__main__":
    importlib.import_module("syncnet.log.journal").Journal = FrequentSnapshotJournal  # type: ignore[attr-defined]
    main()
