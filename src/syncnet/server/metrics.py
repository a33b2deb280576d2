"""The metrics of a server as text: Prometheus' text format 0.0.4, and OpenMetrics 1.0.

`FAMILIES` is the one table of metrics; docs/operating.md shows it, and `measure.py` gives the values. No label has a
value that a client chooses, so their number is bounded, and no name of an actor, event or namespace is shown. Pure
functions.

The formats: https://prometheus.io/docs/instrumenting/exposition_formats/ and
https://github.com/prometheus/OpenMetrics/blob/v1.0.0/specification/OpenMetrics.md.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, Literal, NamedTuple, TypeAlias

__all__ = [
    "FAMILIES",
    "OPENMETRICS_MEDIA_TYPE",
    "TEXT_MEDIA_TYPE",
    "Distribution",
    "Family",
    "Labels",
    "Samples",
    "metrics_text",
]

TEXT_MEDIA_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS_MEDIA_TYPE: Final = "application/openmetrics-text; version=1.0.0; charset=utf-8"

Kind: TypeAlias = Literal["counter", "gauge", "histogram", "info"]
Labels: TypeAlias = tuple[str, ...]
"""The values of the labels of a sample, in the order in which its family names them."""


class Family(NamedTuple):
    """One metric. A counter's name ends in `_total`, an info's in `_info`; `help` is one line without backslashes."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()

    @property
    def unit(self) -> str:
        """The unit, which a name has at its end: `seconds`, `bytes`, or none."""
        last = self.name.removesuffix("_total").rpartition("_")[2]
        return last if last in ("seconds", "bytes") else ""


class Distribution(NamedTuple):
    """The value of a histogram: how many were in each bucket, and their sum.

    `bounds` are the inclusive upper bounds of the buckets but the last, which has none.
    """

    bounds: Sequence[float]
    buckets: Sequence[int]
    sum: float


Value: TypeAlias = float | Distribution | Mapping[Labels, float]
Samples: TypeAlias = Mapping[str, Value]
"""The values by the names of their families; a family without a value is left out."""

FAMILIES: Final = (
    Family("syncnet_build_info", "info", "Which syncnet runs; 1.", ("version", "python", "compiled")),
    # the offers
    Family("syncnet_offers_pending", "gauge", "Offers that are pending now."),
    Family("syncnet_offers_pending_max", "gauge", "Offers that may be pending: --limit pending-offers-max."),
    Family("syncnet_offers_pending_bytes", "gauge", "What the pending offers weigh, as the limits count it."),
    Family("syncnet_offers_pending_max_bytes", "gauge", "What they may weigh: --limit pending-bytes-max."),
    Family("syncnet_oldest_pending_seconds", "gauge", "Age of the offer that has been pending longest; 0 without any."),
    Family("syncnet_namespaces", "gauge", "Namespaces that are kept."),
    Family("syncnet_offers_total", "counter", "Offers that ended, by how they ended.", ("end",)),
    Family("syncnet_syncs_total", "counter", "Syncs."),
    Family("syncnet_sync_members", "histogram", "Members of a sync."),
    Family(
        "syncnet_offer_wait_seconds", "histogram", "How long a member of a sync waited, from its offer to the sync."
    ),
    Family(
        "syncnet_searches_exhausted_total",
        "counter",
        "Searches that hit their bound, so that a set that can sync may have been missed.",
    ),
    Family(
        "syncnet_circles",
        "gauge",
        "Circles of actors that wait for each other, as found at the last look, every 5 seconds.",
        ("certainty",),
    ),
    # the requests
    Family("syncnet_requests_total", "counter", "Requests that came, of every kind."),
    Family("syncnet_requests_waiting", "gauge", "Requests that wait for their mates or for their body."),
    Family("syncnet_jobs_waiting", "gauge", "Requests in each queue for work that takes long.", ("pool",)),
    Family("syncnet_bodies_reserved_bytes", "gauge", "Memory that is reserved for large bodies on their way."),
    Family("syncnet_problems_total", "counter", "Responses that were problem documents, by their code.", ("code",)),
    # the logs
    Family("syncnet_log_undelivered", "gauge", "Commands that the log has not delivered yet."),
    Family(
        "syncnet_log_lag_seconds", "gauge", "Age of the oldest command that the log has not delivered; 0 without any."
    ),
    Family("syncnet_journal_commits_total", "counter", "Commits of the journal."),
    Family("syncnet_journal_commands_total", "counter", "Commands that the journal committed."),
    Family("syncnet_journal_failing", "gauge", "1 while the journal cannot be written, otherwise 0."),
    Family("syncnet_cluster_node_info", "info", "Which node of a cluster this is; 1.", ("node",)),
    Family("syncnet_cluster_connected", "gauge", "1 while NATS can be reached, otherwise 0."),
    Family("syncnet_cluster_leased", "gauge", "1 while this node has its lease and takes offers, otherwise 0."),
    Family("syncnet_cluster_nodes", "gauge", "Nodes that have a lease, as this node saw last."),
    Family("syncnet_cluster_renames_total", "counter", "How often the others took this node for lost."),
    Family("syncnet_cluster_losses_total", "counter", "Losses of other nodes that this node entered, by namespace."),
    Family("syncnet_cluster_rebuilds_total", "counter", "How often a namespace's state differed and was made anew."),
    Family("syncnet_cluster_entries_total", "counter", "Entries that this node published."),
    Family("syncnet_cluster_commands_total", "counter", "Commands in the entries that this node published."),
    Family("syncnet_output_left_out_total", "counter", "Changes that standard output left out: its reader is slow."),
    # the process, on Linux
    Family("process_cpu_seconds_total", "counter", "Processor time, of user and system."),
    Family("process_resident_memory_bytes", "gauge", "Resident memory."),
    Family("process_virtual_memory_bytes", "gauge", "Virtual memory."),
    Family("process_open_fds", "gauge", "Open file descriptors."),
    Family("process_max_fds", "gauge", "The most file descriptors that may be open."),
    Family("process_start_time_seconds", "gauge", "When the process started, since the Unix epoch."),
)
"""All metrics, in the order in which they are shown."""


def metrics_text(samples: Samples, *, openmetrics: bool = False) -> str:
    """Return the metrics in Prometheus' text format, or in OpenMetrics."""
    lines: list[str] = []
    for family in FAMILIES:
        if family.name in samples:
            lines += _head(family, openmetrics)
            lines += _samples(family, samples[family.name])
    if openmetrics:
        lines.append("# EOF")
    lines.append("")
    return "\n".join(lines)


def _head(family: Family, openmetrics: bool) -> Iterator[str]:
    name, kind = family.name, family.kind
    if not openmetrics:
        yield f"# HELP {name} {family.help}"
        yield f"# TYPE {name} {'gauge' if kind == 'info' else kind}"
        return
    name = name.removesuffix("_total").removesuffix("_info")  # OpenMetrics counts these to the samples
    yield f"# TYPE {name} {kind}"
    if family.unit:
        yield f"# UNIT {name} {family.unit}"
    yield f"# HELP {name} {family.help}"


def _samples(family: Family, value: Value) -> Iterator[str]:
    name = family.name
    if isinstance(value, Distribution):
        total = 0
        for bound, number in zip((*map(_bound, value.bounds), "+Inf"), value.buckets, strict=True):
            total += number
            yield f'{name}_bucket{{le="{bound}"}} {total}'
        yield f"{name}_sum {_number(value.sum)}"
        yield f"{name}_count {total}"
    elif isinstance(value, Mapping):
        for labels, each in value.items():
            pairs = ",".join([f'{key}="{text}"' for key, text in zip(family.labels, labels, strict=True)])
            yield f"{name}{{{pairs}}} {_number(each)}"
    else:
        yield f"{name} {_number(value)}"


def _bound(bound: float) -> str:
    """Return the bound of a bucket; always a float, so that both formats have the same series."""
    return repr(float(bound))


def _number(number: float) -> str:
    """Return a number; one with a fraction is a float, whose shortest form Go and Python read as the same value."""
    if math.isinf(number):
        return "+Inf"
    return str(int(number)) if number == int(number) else repr(number)
