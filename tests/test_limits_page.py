"""docs/limits.md says what `Limits` says; `pytest tests/test_limits_page.py --rewrite` writes it again."""

from dataclasses import Field, fields
from typing import Any

import pytest

from syncnet.core.limits import Limits
from syncnet.errors import PROBLEMS
from tests.test_structure import ROOT

PAGE = ROOT / "docs" / "limits.md"
HEAD = """\
# Limits

All limits that are options. `syncnet :8000 --limit NAME=VALUE` sets one, and may be given several times:

```
syncnet :8000 --limit pending-per-namespace-max=1000 --limit payload-bytes-max=4096
```

A request above a limit is refused with the status below and a `detail` that says what was expected and what came;
pending offers are not affected. Responses with 429 and 503 have `Retry-After`. An offer that syncs at once is accepted
even if no more offers can be pending, because the sync makes room. A payload is part of a body: if you raise
`payload-bytes-max`, raise `body-bytes-max` too. `pending-offers-max` is lowered to what the limit on open files allows,
and the server prints a message.

This page is generated from `src/syncnet/core/limits.py`, by `.venv/bin/pytest tests/test_limits_page.py --rewrite`.

| limit | default | range | at the limit | what it limits, and why |
| --- | --- | --- | --- | --- |
"""


def row(field: Field[Any]) -> str:
    meta = field.metadata
    problem = PROBLEMS.get(meta["answer"])
    answer = f"{problem.status} `{meta['answer']}`" if problem else meta["answer"]
    span = f"{meta['lowest']:,} to {meta['highest']:,}"
    return f"| `{field.name.replace('_', '-')}` | {field.default:,} | {span} | {answer} | {meta['reason']} |\n"


def page() -> str:
    return HEAD + "".join(map(row, fields(Limits)))


def test_the_page_says_what_the_limits_say(request: pytest.FixtureRequest) -> None:
    if request.config.getoption("--rewrite"):
        PAGE.write_text(page())
    assert PAGE.read_text() == page(), "out of date; pytest tests/test_limits_page.py --rewrite"


@pytest.mark.parametrize("field", fields(Limits), ids=lambda field: field.name)
def test_a_default_lies_in_its_range(field: Field[Any]) -> None:
    assert field.metadata["lowest"] <= field.default <= field.metadata["highest"]
    assert field.metadata["reason"].endswith(".") or "; also" in field.metadata["reason"]
