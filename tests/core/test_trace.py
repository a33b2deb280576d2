"""The trace: what is asked of it is all that it writes out."""

import pytest

from syncnet.core import trace
from syncnet.core.effects import Synced
from syncnet.core.limits import Limits
from syncnet.core.terms import Pair, PlainTerms, written_out


def test_g8_of_a_long_trace_only_what_was_asked_for_is_written_out(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[int] = []

    def noted(pair: Pair) -> Synced:
        written.append(pair[0])
        return written_out(pair)

    monkeypatch.setattr(trace, "written_out", noted)
    kept = trace.Trace(Limits())
    for namespace in ("default", "other"):
        terms = PlainTerms(namespace, "coin", "A")
        kept.add_pairs((number, terms, "a", 1, terms, "b", 2) for number in range(1, 1_001))
    assert [synced.sync for synced in kept.of("other", 990, 5)] == [991, 992, 993, 994, 995]
    assert written == [991, 992, 993, 994, 995]
    assert len(kept.all()) == 2_000
