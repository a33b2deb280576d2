"""When a client asks again, and when it gives up: the decisions alone, with the time given."""

import pytest

from syncnet.client.retry import RetryState, may_help_to_ask_again
from syncnet.errors import RefusedError, UnavailableError

AWAY = UnavailableError("nobody there")


def test_the_server_may_be_away_for_so_long_at_a_stretch() -> None:
    ride = RetryState(0.0, None, 30.0)
    now_s = 100.0
    delays_s = []
    while now_s < 129.0:
        ride.broke(now_s)
        delays_s.append(ride.delay_s(now_s, AWAY))
        now_s += max(delays_s[-1], 0.001)
    assert delays_s[0] <= 0.025
    assert max(delays_s) <= 1.0
    ride.broke(130.0)
    with pytest.raises(UnavailableError):
        ride.delay_s(130.0, AWAY)


def test_a_request_that_stood_ends_a_stretch() -> None:
    ride = RetryState(0.0, None, 30.0)
    ride.broke(0.0)
    ride.delay_s(0.0, AWAY)
    assert ride.sent(29.0)  # news after trouble
    ride.broke(50.0)
    assert ride.delay_s(50.0, AWAY) <= 0.025
    assert not RetryState(0.0, None, None).sent(1.0)


def test_a_request_that_is_cut_at_once_does_not_end_a_stretch() -> None:
    ride = RetryState(0.0, None, 30.0)
    for now_s in (0.0, 15.0, 29.0):
        ride.sent(now_s)
        ride.broke(now_s + 0.1)
        ride.delay_s(now_s + 0.1, AWAY)
    ride.sent(30.2)
    ride.broke(30.3)
    with pytest.raises(UnavailableError):
        ride.delay_s(30.3, AWAY)


def test_without_a_bound_it_goes_on_for_ever() -> None:
    ride = RetryState(0.0, None, None)
    for now_s in range(0, 100_000, 100):
        ride.broke(float(now_s))
        assert 0 <= ride.delay_s(float(now_s), AWAY) <= 1.0


def test_the_server_decides_as_long_as_it_can() -> None:
    ride = RetryState(10.0, 5.0, 30.0)
    assert ride.gives_up_s() == 20.0  # 5 s after the deadline: the first answer says who was missing
    assert not ride.is_late(14.9)
    ride.broke(11.0)
    ride.delay_s(11.0, AWAY)
    assert ride.gives_up_s() == 16.0
    assert ride.is_late(15.0)
    assert ride.delay_s(14.99, AWAY) <= 0.01 + 1e-9
    assert RetryState(10.0, None, 30.0).gives_up_s() is None


def test_what_the_server_asks_for_is_waited_for() -> None:
    full = UnavailableError("full", "full", 3.0)
    assert 3.0 <= RetryState(0.0, None, 30.0).delay_s(0.0, full) <= 3.025
    assert RetryState(0.0, 1.0, 30.0).delay_s(0.0, full) == 1.0
    assert RetryState(0.0, None, 0.5).delay_s(0.0, full) == 0.5


def test_replaced_is_believed_where_it_cannot_be_its_own_doing() -> None:
    """G7: a request that broke may arrive late, and take the place of the one after it; once."""
    ride = RetryState(0.0, None, None)
    assert not ride.was_replaced_by_itself()
    ride.broke(1.0)  # never sent
    assert not ride.was_replaced_by_itself()
    ride.sent(2.0)
    ride.broke(3.0)
    ride.sent(4.0)
    ride.answered()
    assert ride.was_replaced_by_itself()
    assert not ride.was_replaced_by_itself()


def test_who_has_asked_may_be_known() -> None:
    ride = RetryState(0.0, None, None)
    known = [ride.may_be_known]
    ride.broke(0.5)
    known.append(ride.may_be_known)
    ride.sent(1.0)
    known.append(ride.may_be_known)
    ride.broke(2.0)
    known.append(ride.may_be_known)
    assert known == [False, False, True, True]


def test_what_may_help() -> None:
    never = UnavailableError("a bug", "internal")
    never.retry_safe = False
    assert may_help_to_ask_again(AWAY)
    assert not may_help_to_ask_again(never)
    assert not may_help_to_ask_again(RefusedError("no", "forbidden"))
