"""A server warns of actors that are stuck together: once, and only when it is certain."""

from collections.abc import Iterator
from contextlib import closing

import pytest

from syncnet.server.circle_watch import CircleWatch
from tests.server.fakes import Exchange, Server


@pytest.fixture
def server() -> Iterator[Server]:
    with closing(Server()) as server:
        yield server


STUCK = "stuck together: VM waits for CUST on coin, CUST waits for VM on choc in the namespace n"


def test_a_circle_that_lasts_is_warned_of_once(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    watch = CircleWatch(server.coordinator)
    server.ask("event=coin&actor=VM&expect=CUST&namespace=n&id=1", "event=choc&actor=CUST&expect=VM&namespace=n")
    watch.look()
    assert caplog.messages == [], "it may be over in a moment"
    watch.look()
    watch.look()
    assert caplog.messages == [STUCK]
    withdrawal = server.take(Exchange("id=1&namespace=n", method="DELETE"))
    server.until(lambda: withdrawal.answers)
    watch.look()
    server.ask("event=coin&actor=VM&expect=CUST&namespace=n")
    watch.look()
    watch.look()
    assert caplog.messages[1:] == [
        "stuck together: CUST waits for VM on choc, VM waits for CUST on coin in the namespace n"
    ], "it is another one"


def test_a_possible_circle_is_not_warned_of(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    watch = CircleWatch(server.coordinator)
    server.ask(*[f"event={event}&actor={a}&expect={b}" for event, a, b in ("aVC", "bVC", "cCV")])
    watch.look()
    watch.look()
    assert caplog.messages == []
    assert watch.found == {True: 0, False: 1}


def test_circles_are_counted_as_the_last_look_found_them(server: Server) -> None:
    watch = CircleWatch(server.coordinator)
    assert watch.found == {True: 0, False: 0}
    for namespace in ("n", "m"):
        offers = [f"event={event}&actor={a}&expect={b}&id={a}" for event, a, b in ("aVC", "bCV")]
        server.ask(*[f"{offer}&namespace={namespace}" for offer in offers])
    server.ask(*[f"event={event}&actor={a}&expect={b}" for event, a, b in ("aVC", "bVC", "cCV")])
    watch.look()
    assert watch.found == {True: 2, False: 1}
    server.until_answered(server.take(Exchange("id=V&namespace=n", method="DELETE")))
    watch.look()
    assert watch.found == {True: 1, False: 1}


def test_a_warning_goes_where_it_is_wanted(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    warnings: list[tuple[str, str]] = []
    watch = CircleWatch(server.coordinator, lambda _, namespace, circle: warnings.append((namespace, circle.text())))
    server.ask("event=coin&actor=VM&expect=CUST&namespace=n&id=1", "event=choc&actor=CUST&expect=VM&namespace=n")
    for _ in range(3):
        watch.look()
    assert [f"{text} in the namespace {namespace}" for namespace, text in warnings] == [STUCK]
    assert caplog.messages == []
