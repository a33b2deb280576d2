"""Offers for tests, in few words."""

from collections.abc import Iterable, Mapping

from syncnet.core.commands import Offer
from syncnet.core.effects import Effect, Synced
from syncnet.core.selectors import parse_selector
from syncnet.core.validation import make_offer


def offer(
    actor: str,
    *events: str,
    id: str = "",
    mates: int | None = None,
    expect: Iterable[str] | None = None,
    labels: Mapping[str, str] | None = None,
    selector: str | None = None,
    payload: bytes = b'""',
    namespace: str = "default",
    at_ns: int = 0,
    timeout_s: float | None = None,
    linger_s: float | None = None,
    named: bool = False,
    owner: str = "",
) -> Offer:
    """An offer of `actor` for `events` (coin, if none is named); its id is the actor's name unless given."""
    return make_offer(
        at_ns=at_ns,
        id=id or actor,
        events=events or ("coin",),
        actor=actor,
        namespace=namespace,
        mates=mates,
        expect=expect,
        labels=labels,
        selector=None if selector is None else parse_selector(selector),
        payload=payload,
        timeout_s=timeout_s,
        linger_s=linger_s,
        named=named,
        owner=owner,
    )


def synced(effects: Iterable[Effect]) -> list[list[str]]:
    """The syncs among effects, each as the ids of its members by arrival."""
    return [[member.id for member in effect.members] for effect in effects if isinstance(effect, Synced)]
