"""`syncnet` as it is, but for a snapshot every so many commands, so that a test sees many of them.

`python -m tests.crash.server SNAPSHOT_COMMANDS ARGUMENT…`
"""

import functools
import importlib
import sys

from syncnet.cli import main
from syncnet.log.journal import Journal


def run(snapshot_commands: int) -> None:
    serve = importlib.import_module("syncnet.cli.serve")
    setattr(serve, "Journal", functools.partial(Journal, snapshot_commands=snapshot_commands))  # noqa: B010
    main()


if __name__ == "__main__":
    run(int(sys.argv.pop(1)))
