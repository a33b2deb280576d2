"""The examples of docs/clients.md run, and the tables of docs/command-line.md agree with the code."""

import os
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

from syncnet.cli import event
from syncnet.cli.bench import command as bench
from syncnet.cli.exit_statuses import ExitStatus
from tests.end_to_end.running import Server

DOCS = Path(__file__).parents[2] / "docs"
BLOCKS = re.findall(r"^```python\n(.*?)^```$", (DOCS / "clients.md").read_text(), re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("number", range(6))
def test_the_examples_of_the_documentation_run(server: Server, number: int) -> None:
    assert len(BLOCKS) == 6
    completed = subprocess.run(
        [sys.executable, "-W", "error", "-c", BLOCKS[number]],
        env={**os.environ, "SYNCNET_URL": server.url},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (completed.returncode, completed.stderr) == (0, "")


def test_the_documented_exit_statuses_are_those_of_the_code() -> None:
    section = (DOCS / "command-line.md").read_text().partition("## Exit statuses")[2].partition("\n## ")[0]
    listed = {int(status) for status in re.findall(r"^\| ([0-9]+) \|", section, re.MULTILINE)}
    assert listed == {0, *(int(status) for status in ExitStatus), 129, 130, 143}


@pytest.mark.parametrize("command", [event.event, bench.bench], ids=["event", "bench"])
def test_every_option_is_documented(command: click.Command) -> None:
    text = (DOCS / "command-line.md").read_text()
    names = [name for param in command.params for name in param.opts if name.startswith("--")]
    assert [name for name in names if name not in text] == []
