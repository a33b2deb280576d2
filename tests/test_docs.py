"""Checks the documentation: each Python block runs and prints the text block below it; each link has a target."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
LINKING = [*PAGES, *(ROOT / name for name in ("SECURITY.md", "CONTRIBUTING.md", "CHANGELOG.md", "examples/README.md"))]
BLOCK = re.compile(r"^```python\n(.*?)^```\n(?:^```text\n(.*?)^```\n)?", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\]\((?!https?://)([^)#\s]+)(?:#[^)\s]*)?\)")


def blocks() -> list[tuple[str, str, str | None]]:
    """Return each block of Python: its page and line, its code, and the expected output where the page gives one."""
    return [
        (f"{page.name}:{page.read_text()[: match.start()].count(chr(10)) + 1}", match[1], match[2])
        for page in PAGES
        for match in BLOCK.finditer(page.read_text())
    ]


@pytest.mark.parametrize(("where", "code", "expected"), blocks(), ids=[where for where, _, _ in blocks()])
def test_a_block_runs_and_prints_the_expected_output(
    where: str, code: str, expected: str | None, request: pytest.FixtureRequest
) -> None:
    environment = dict(os.environ)
    if "SYNCNET_URL" in code:
        environment["SYNCNET_URL"] = request.getfixturevalue("syncnet_server").url
    command = [sys.executable, "-W", "error", "-c", code]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, f"{where}:\n{ran.stderr}"
    if expected is not None:
        assert ran.stdout == expected


def test_the_pages_have_blocks() -> None:
    pages = {where.partition(":")[0] for where, _, _ in blocks()}
    assert {"README.md", "in-process.md", "coming-from.md"} <= pages


@pytest.mark.parametrize("page", LINKING, ids=lambda page: str(page.relative_to(ROOT)))
def test_relative_links_have_a_target(page: Path) -> None:
    targets = LINK.findall(page.read_text())
    assert [target for target in targets if not (page.parent / target).exists()] == []
