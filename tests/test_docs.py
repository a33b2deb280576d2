"""Every block of Python in the documentation runs as it stands, and prints what the block of text below it says."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```python\n(.*?)^```\n(?:^```text\n(.*?)^```\n)?", re.DOTALL | re.MULTILINE)


def blocks() -> list[tuple[str, str, str | None]]:
    return [
        (f"{page.name}:{page.read_text()[: match.start()].count(chr(10)) + 1}", match[1], match[2])
        for page in PAGES
        for match in BLOCK.finditer(page.read_text())
    ]


@pytest.mark.parametrize(("where", "code", "printed"), blocks(), ids=[where for where, _, _ in blocks()])
def test_a_block_runs_and_prints_what_it_says(
    where: str, code: str, printed: str | None, request: pytest.FixtureRequest
) -> None:
    environment = dict(os.environ)
    if "SYNCNET_URL" in code:
        environment["SYNCNET_URL"] = request.getfixturevalue("syncnet_server").url
    command = [sys.executable, "-W", "error", "-c", code]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, f"{where}:\n{ran.stderr}"
    if printed is not None:
        assert ran.stdout == printed


def test_the_pages_have_blocks() -> None:
    pages = {where.partition(":")[0] for where, _, _ in blocks()}
    assert {"README.md", "in-process.md", "coming-from.md"} <= pages
