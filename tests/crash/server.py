"""`syncnet` as it is, but for a snapshot every so many commands, so that a test sees many of them.

`python -m tests.crash.server SNAPSHOT_COMMANDS ARGUMENT…`
"""

import importlib
import sys
from typing import Any

from syncnet.cli import main
from syncnet.log.journal import Journal

SNAPSHOT_COMMANDS = int(sys.argv.pop(1)) if __name__ == "__main__" else 50


class OftenSnapped(Journal):
    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named, snapshot_commands=SNAPSHOT_COMMANDS)


if __name__ == "__main__":
    importlib.import_module("syncnet.cli.serve").Journal = OftenSnapped  # type: ignore[attr-defined]
    main()
