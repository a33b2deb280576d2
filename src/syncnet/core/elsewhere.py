"""What a timeout says of other namespaces.

It is added when a client is answered. It is no part of the state, because clients may see different namespaces.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from syncnet.core.effects import Reason, TimedOut
from syncnet.core.limits import ANSWERED_LOOKUPS_MAX, EXPLANATION_STEPS_MAX, REASONS_MAX
from syncnet.core.machine import Machine
from syncnet.core.steps import Steps
from syncnet.core.wording import suggestion

__all__ = ["with_other_namespaces"]


def with_other_namespaces(machine: Machine, outcome: TimedOut, may_see: Callable[[str], bool]) -> TimedOut:
    """Return the outcome of an offer that met nobody, with the other namespaces where its events are waited for.

    Few namespaces are looked at, because many offers may time out at once.
    """
    if outcome.present:
        return outcome
    spec, steps = outcome.offer.spec, Steps(EXPLANATION_STEPS_MAX)
    found = machine.waiting_elsewhere(spec.namespace, list(spec.events), steps, ANSWERED_LOOKUPS_MAX)
    seen = [each for each in found if may_see(each[0])]
    added = [Reason("", event, suggestion(event, waiting, name)) for name, event, waiting in seen]
    return replace(outcome, reasons=(*outcome.reasons, *added)[:REASONS_MAX])
