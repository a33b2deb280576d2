"""docs/operating.md lists all metrics; `pytest tests/test_metrics_table.py --rewrite` writes the list again."""

import pytest

from syncnet.server.metrics import FAMILIES, Family
from tests.test_structure import ROOT

PAGE = ROOT / "docs" / "operating.md"
HEAD = "| metric | kind | labels | meaning |\n| --- | --- | --- | --- |\n"


def row(family: Family) -> str:
    labels = ", ".join(f"`{label}`" for label in family.labels)
    return f"| `{family.name}` | {family.kind} | {labels} | {family.help} |\n"


def test_the_list_says_what_the_code_says(request: pytest.FixtureRequest) -> None:
    before, head, after = PAGE.read_text().partition(HEAD)
    assert head
    _, end, after = f"\n{after}".partition("\n\n")  # the list may be empty
    expected = before + head + "".join(map(row, FAMILIES)) + end[1:] + after
    if request.config.getoption("--rewrite"):
        PAGE.write_text(expected)
    assert PAGE.read_text() == expected, "out of date; pytest tests/test_metrics_table.py --rewrite"
