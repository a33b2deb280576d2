"""The outcomes that are kept, against a list that is searched (G7), and whose go first when there are too many (G8)."""

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from syncnet.core.effects import Remembered, TimedOut
from syncnet.core.limits import Limits
from syncnet.core.outcomes import Outcomes
from tests.core.offers import offer

FEW = Limits(outcomes_max=6, outcomes_bytes_max=1 << 40)
LIGHT = Limits(outcomes_max=1_000_000, outcomes_bytes_max=3_000)


def outcome(number: int, namespace: str, owner: str, payload_bytes: int = 2) -> TimedOut:
    made = offer("A", id=f"{number}", namespace=namespace, owner=owner, named=True, payload=b"1" * payload_bytes)
    return TimedOut(number, made, (), 1, ())


class Plain:
    """A list of outcomes, by age."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.kept: list[TimedOut] = []

    def remember(self, latest: TimedOut) -> None:
        self.kept.append(latest)
        size: Callable[[list[TimedOut]], int]
        while len(self.kept) > 1:
            if len(self.kept) > self.limits.outcomes_max:
                size = len
            elif weight(self.kept) > self.limits.outcomes_bytes_max:
                size = weight
            else:
                break
            own = [each for each in self.kept if client(each) == client(latest)]
            clients = {client(each) for each in self.kept}
            too_many = size(own) * len(clients) > size(self.kept) and len(own) > 1
            self.kept.remove(own[0] if too_many else self.kept[0])


def client(outcome: TimedOut) -> str:
    return outcome.offer.spec.owner or "namespace " + outcome.offer.spec.namespace


def weight(outcomes: list[TimedOut]) -> int:
    return sum(outcome.offer.weight_bytes for outcome in outcomes)


clients = st.tuples(st.sampled_from(["one", "two", "three"]), st.sampled_from(["", "", "token"]), st.integers(2, 900))


@given(st.lists(clients, max_size=40), st.sampled_from([FEW, LIGHT]))
def test_g7_what_is_kept_is_what_a_plain_list_keeps(made: list[tuple[str, str, int]], limits: Limits) -> None:
    outcomes, plain = Outcomes(limits), Plain(limits)
    for number, (namespace, owner, payload_bytes) in enumerate(made):
        latest = outcome(number, namespace, owner, payload_bytes)
        outcomes.remember(latest, latest.offer.weight_bytes)
        plain.remember(latest)
        assert outcomes.all() == plain.kept
        for each in range(number + 1):
            known = {kept.offer.id: kept for kept in plain.kept}.get(str(each))
            spec = known.offer.spec if known else latest.offer.spec
            recalled = outcomes.recall(spec.namespace, str(each), number)
            assert (recalled and recalled[1]) == known
        again = Outcomes(limits)
        for each_kept in outcomes.all():
            again.remember(each_kept, each_kept.offer.weight_bytes)  # type: ignore[union-attr]
        assert again.all() == outcomes.all(), "a restored machine has the same"


def remembered(outcomes: Outcomes, *made: TimedOut) -> list[Remembered]:
    for each in made:
        outcomes.remember(each, each.offer.weight_bytes)
    return outcomes.all()


def test_g8_many_outcomes_of_one_client_do_not_push_out_those_of_others() -> None:
    for one, other in [(("one", ""), ("two", "")), (("default", "a"), ("default", "b"))]:
        outcomes = Outcomes(Limits(outcomes_max=100))
        honest = [outcome(number, *one) for number in range(10)]
        remembered(outcomes, *honest)
        kept = remembered(outcomes, *[outcome(number, *other) for number in range(10, 5_000)])
        assert len(kept) == 100
        assert kept[:10] == honest
        assert len(outcomes.entries) < 3_000, "forgotten entries do not stay"


def test_one_client_alone_may_use_all() -> None:
    outcomes = Outcomes(Limits(outcomes_max=100))
    made = [outcome(number, "default", "") for number in range(150)]
    assert remembered(outcomes, *made) == made[50:]


def test_outcomes_that_are_too_old_are_forgotten_behind_others_that_went_earlier() -> None:
    outcomes = Outcomes(Limits(outcomes_max=4, outcome_ttl_s=1))
    remembered(outcomes, outcome(0, "one", ""), *[outcome(number, "two", "") for number in range(1, 9)])
    assert len(outcomes.all()) == 4
    outcomes.forget(10**10)
    assert (outcomes.all(), list(outcomes.entries), len(outcomes)) == ([], [], 0)
