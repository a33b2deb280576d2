"""Reads the values of the metrics (`metrics.py`) where they are counted: the machine, the log, the handler."""

from __future__ import annotations

import platform
from functools import cache
from importlib.metadata import version
from typing import TYPE_CHECKING, Final

from syncnet.coordinator.coordinator import Coordinator
from syncnet.core.commands import Command
from syncnet.core.counts import MEMBERS_BOUNDS, WAIT_BOUNDS_NS, Counts
from syncnet.log import ClusterReport, Log
from syncnet.server.build import build
from syncnet.server.metrics import Distribution, Labels, Value

if TYPE_CHECKING:
    from syncnet.server.handler import Handler

__all__ = ["lag_s", "measured"]

_NS_PER_S: Final = 1_000_000_000


def measured(coordinator: Coordinator, handler: Handler) -> dict[str, Value]:
    """Return the values by name, those of the machine and of the log of one moment; without those of the process."""
    values: dict[str, Value] = {"syncnet_build_info": {_build_labels(): 1}}
    with coordinator.lock:
        coordinator.count()
        machine, now_ns = coordinator.machine, coordinator.now_ns()
        oldest_ns = machine.oldest_ns()
        values |= {
            "syncnet_offers_pending": machine.pending_total,
            "syncnet_offers_pending_max": machine.limits.pending_offers_max,
            "syncnet_offers_pending_bytes": machine.pending_bytes,
            "syncnet_offers_pending_max_bytes": machine.limits.pending_bytes_max,
            "syncnet_oldest_pending_seconds": 0 if oldest_ns is None else _age_s(oldest_ns, now_ns),
            "syncnet_namespaces": machine.namespaces_total,
        }
        values |= _of_counts(machine.counts)
        values |= _of_log(coordinator.log, now_ns)
        values |= _of_cluster(coordinator.cluster_report(), handler.node_name)
    return values | _of_handler(handler)


def lag_s(log: Log, now_ns: int) -> float:
    """Return the age of the oldest command that a log has not delivered; 0 without any."""
    return _lag_s(log.undelivered(), now_ns)


def _of_counts(counts: Counts) -> dict[str, Value]:
    ends: dict[Labels, float] = {("synced",): counts.synced}
    ends |= {(end,): offers for end, offers in counts.ends.items()}
    waits = counts.waits.copy()
    waits[0] = counts.synced - sum(waits)
    return {
        "syncnet_offers_total": ends,
        "syncnet_syncs_total": sum(counts.syncs),
        "syncnet_sync_members": Distribution(MEMBERS_BOUNDS[:-1], counts.syncs.copy(), counts.synced),
        "syncnet_offer_wait_seconds": Distribution(
            [bound_ns / _NS_PER_S for bound_ns in WAIT_BOUNDS_NS[:-1]], waits, counts.wait_ns / _NS_PER_S
        ),
        "syncnet_searches_exhausted_total": counts.exhausted,
    }


def _of_log(log: Log, now_ns: int) -> dict[str, Value]:
    undelivered = log.undelivered()
    values: dict[str, Value] = {
        "syncnet_log_undelivered": len(undelivered),
        "syncnet_log_lag_seconds": _lag_s(undelivered, now_ns),
    }
    on_disk = log.on_disk()
    if on_disk is not None:
        values |= {
            "syncnet_journal_commits_total": on_disk.commits_total,
            "syncnet_journal_commands_total": on_disk.commands_total,
            "syncnet_journal_failing": 1 if on_disk.problem else 0,
        }
    return values


def _of_cluster(report: ClusterReport | None, node_name: str) -> dict[str, Value]:
    if report is None:
        return {}
    return {
        "syncnet_cluster_node_info": {(node_name,): 1},
        "syncnet_cluster_connected": int(report.is_connected),
        "syncnet_cluster_leased": int(report.has_lease),
        "syncnet_cluster_nodes": report.nodes_total,
        "syncnet_cluster_renames_total": report.renames_total,
        "syncnet_cluster_losses_total": report.losses_total,
        "syncnet_cluster_rebuilds_total": report.rebuilds_total,
        "syncnet_cluster_entries_total": report.entries_total,
        "syncnet_cluster_commands_total": report.commands_total,
    }


def _of_handler(handler: Handler) -> dict[str, Value]:
    values: dict[str, Value] = {
        "syncnet_requests_total": handler.requests_total,
        "syncnet_requests_waiting": handler.background.waiting,
        "syncnet_jobs_waiting": {(pool,): jobs for pool, jobs in handler.background.jobs.items()},
        "syncnet_bodies_reserved_bytes": handler.bodies.bytes_total,
        "syncnet_problems_total": {(code,): problems for code, problems in handler.problems.items()},
    }
    if handler.circles is not None:
        found = handler.circles()
        values["syncnet_circles"] = {("certain",): found[True], ("possible",): found[False]}
    if handler.output_left_out is not None:
        values["syncnet_output_left_out_total"] = handler.output_left_out()
    return values


@cache
def _build_labels() -> Labels:
    return version("syncnet-server"), platform.python_version(), "true" if build() == "compiled" else "false"


def _lag_s(undelivered: list[Command], now_ns: int) -> float:
    return _age_s(undelivered[0].at_ns, now_ns) if undelivered else 0


def _age_s(at_ns: int, now_ns: int) -> float:
    return max(0, now_ns - at_ns) / _NS_PER_S
