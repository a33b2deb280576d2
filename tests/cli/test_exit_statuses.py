"""The table of exit statuses in docs/command-line.md is that of the code."""

import re
from pathlib import Path

from syncnet.cli.exit_statuses import ExitStatus

PAGE = Path(__file__).parents[2] / "docs" / "command-line.md"


def test_the_documented_exit_statuses_are_those_of_the_code() -> None:
    section = PAGE.read_text().partition("## Exit statuses")[2].partition("\n## ")[0]
    documented = [int(status) for status in re.findall(r"^\| ([0-9]+) \|", section, re.MULTILINE)]
    assert documented == [status.value for status in ExitStatus]
