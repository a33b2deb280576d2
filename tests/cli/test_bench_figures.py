"""`syncnet bench` reports percentiles, rates and errors truly."""

import random

import pytest

from syncnet.cli.bench.figures import Figures, Latencies


def latencies(*times_s: float) -> Latencies:
    noted = Latencies()
    for time_s in times_s:
        noted.note(time_s)
    return noted


def test_short_times_are_exact() -> None:
    found = latencies(*(microseconds * 1e-6 for microseconds in range(100)))
    assert [round(found.at_s(share) * 1e6) for share in (0.01, 0.5, 0.9)] == [1, 50, 90]
    assert found.document() == {"count": 100, "p50": 0.05, "p90": 0.09, "p99": 0.099, "p999": 0.099, "max": 0.099}


@pytest.mark.parametrize("longest_s", [1e-3, 0.1, 10.0, 3600.0])
def test_percentiles_are_never_lower_than_the_true_ones(longest_s: float) -> None:
    """They are at most 1/128 higher, or two microseconds if that is more."""
    generator = random.Random(longest_s)
    times_s = [generator.random() * longest_s for _ in range(10_000)]
    found = latencies(*times_s)
    ordered_s = sorted(times_s)
    for share in (0.001, 0.5, 0.9, 0.99, 0.999, 1.0):
        true_s = ordered_s[round(share * len(ordered_s)) - 1]
        assert true_s - 1e-9 <= found.at_s(share) <= true_s * (1 + 1 / 128) + 2e-6
    assert found.document()["max"] == round(max(times_s) * 1e3, 3)


def test_the_memory_does_not_grow_with_the_times() -> None:
    generator = random.Random(1)
    found = latencies(*(generator.expovariate(1.0) for _ in range(50_000)))
    assert len(found._counts) < 128 * 20


def test_without_times() -> None:
    assert latencies().at_s(0.5) == 0.0
    text = Figures(mates=1, connections=2, rate=None).text()
    assert "from request to response         -" in text
    assert "0 syncs, 0.0/s" in text


def test_a_negative_time_counts_as_zero() -> None:
    assert latencies(-1.0).at_s(1.0) == 0.0


def test_rates_and_errors() -> None:
    figures = Figures(mates=2, connections=30, rate=900.0, syncs=600, passed_s=2.0, cores=0.95)
    for _ in range(1800):
        figures.response.note(0.001)
    for message in ("the first", "the second"):
        figures.note_error("full", message)
    figures.not_sent, figures.withdrawn, figures.is_interrupted = 1200, 3, True
    text = figures.text()
    for line in (
        "2 mates, 30 connections, 900 exchanges/s wanted, 2.0 s, interrupted",
        "600 syncs, 300.0/s; 1,800 exchanges, 900.0/s",
        "errors: 2",
        "  full  2  first: the first",
        "withdrawn at the end: 3 offers",
        "the rate was not reached: 1,200 exchanges were due and never sent",
        "the load generator used 95% of a core: it may be the bottleneck",
    ):
        assert line in text.splitlines()
    document = figures.document()
    assert document["errors"] == {"full": {"count": 2, "first": "the first"}}
    assert (document["syncs_per_s"], document["exchanges_per_s"]) == (300.0, 900.0)
    assert (document["not_sent"], document["withdrawn"], document["generator_cores"]) == (1200, 3, 0.95)


def test_a_run_without_errors_says_so() -> None:
    figures = Figures(mates=1, connections=1, rate=None, cores=0.5)
    assert figures.text().endswith("\n\nerrors: none\n")
    assert figures.text().startswith("1 mate, 1 connection, as fast as possible")
