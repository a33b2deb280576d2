"""Offers for tests, in few words."""

from collections.abc import Iterable, Mapping

from syncnet.core.commands import Offer
from syncnet.core.effects import Effect, Replayed, SearchExhausted, Synced, TimedOut, offers_of
from syncnet.core.limits import LIMITS, Limits
from syncnet.core.selectors import parse_selector
from syncnet.core.validation import make_offer

FEW_PAYLOAD_BYTES = Limits(sync_payload_bytes_max=60)
"""Limits under which a payload of 20 bytes has at most two mates."""


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
    limits: Limits = LIMITS,
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
        limits=limits,
        timeout_s=timeout_s,
        linger_s=linger_s,
        named=named,
        owner=owner,
    )


def synced(effects: Iterable[Effect]) -> list[list[str]]:
    """The syncs among effects, each as the ids of its members by arrival."""
    return [[member.id for member in effect.members] for effect in effects if isinstance(effect, Synced)]


def described(effect: Effect) -> list[object]:
    """All that an effect says, as plain values: unlike `==` it compares arrival numbers and weights too."""
    said: list[object] = [type(effect).__name__]
    match effect:
        case Synced():
            said += [effect.at_ns, effect.namespace, effect.event, effect.sync]
        case TimedOut():
            said += [effect.at_ns, effect.present, effect.missing, effect.missing_actors]
            said += [effect.gave_up, effect.never_came, effect.reasons]
        case SearchExhausted():
            said += [effect.at_ns, effect.event, effect.steps]
        case Replayed():
            said += described(effect.outcome)
        case _:
            said += [
                getattr(effect, name) for name in ("at_ns", "code", "cause", "by", "reason") if hasattr(effect, name)
            ]
    offers = offers_of(effect) if isinstance(effect, Synced) else (effect.offer,)
    return [*said, *map(fields_of, offers)]


def fields_of(offer: Offer) -> list[object]:
    """All fields of an offer, without its waiter and its timer."""
    spec = offer.spec
    return [
        *(offer.id, offer.arrival, offer.at_ns, offer.named, offer.payload, offer.payload_bytes, offer.weight_bytes),
        *(spec.namespace, spec.events, spec.actor, spec.mates, spec.roster, list(spec.labels.items())),
        *(str(spec.selector), spec.timeout_ns, spec.linger_ns, spec.owner, spec.steps, spec.weight_bytes),
    ]
