"""When a client sends a request again and when it gives up: the decisions alone, with the time given."""

import pytest

from syncnet.client.retry import RetryState, is_of_server, is_retryable
from syncnet.errors import RefusedError, UnavailableError

FAILURE = UnavailableError("no server")


def test_an_outage_ends_the_attempts_after_reconnect_s() -> None:
    retry = RetryState(0.0, None, 30.0)
    now_s = 100.0
    delays_s = []
    while now_s < 129.0:
        retry.note_connection_lost(now_s)
        delays_s.append(retry.next_delay_s(now_s, FAILURE))
        now_s += max(delays_s[-1], 0.001)
    assert delays_s[0] <= 0.025
    assert max(delays_s) <= 1.0
    assert retry.failures == len(delays_s)
    retry.note_connection_lost(130.0)
    with pytest.raises(UnavailableError):
        retry.next_delay_s(130.0, FAILURE)


def test_a_request_that_was_pending_for_a_second_ends_an_outage() -> None:
    retry = RetryState(0.0, None, 30.0)
    retry.note_connection_lost(0.0)
    retry.next_delay_s(0.0, FAILURE)
    assert retry.note_sent(29.0), "it is the first success after failures"
    retry.note_connection_lost(50.0)
    assert retry.next_delay_s(50.0, FAILURE) <= 0.025
    assert not RetryState(0.0, None, None).note_sent(1.0)


def test_a_connection_that_is_lost_at_once_does_not_end_an_outage() -> None:
    retry = RetryState(0.0, None, 30.0)
    for now_s in (0.0, 15.0, 29.0):
        retry.note_sent(now_s)
        retry.note_connection_lost(now_s + 0.1)
        retry.next_delay_s(now_s + 0.1, FAILURE)
    retry.note_sent(30.2)
    retry.note_connection_lost(30.3)
    with pytest.raises(UnavailableError):
        retry.next_delay_s(30.3, FAILURE)


def test_without_reconnect_s_the_attempts_never_end() -> None:
    retry = RetryState(0.0, None, None)
    for now_s in range(0, 100_000, 100):
        retry.note_connection_lost(float(now_s))
        assert 0 <= retry.next_delay_s(float(now_s), FAILURE) <= 1.0


def test_the_client_waits_longer_than_the_timeout_for_an_answer() -> None:
    retry = RetryState(10.0, 5.0, 30.0)
    assert retry.answer_deadline_s() == 20.0  # 5 s after the timeout: only the answer says who was missing
    assert not retry.is_past_deadline(14.9)
    retry.note_connection_lost(11.0)
    retry.next_delay_s(11.0, FAILURE)
    assert retry.answer_deadline_s() == 16.0
    assert retry.is_past_deadline(15.0)
    assert retry.next_delay_s(14.99, FAILURE) <= 0.01 + 1e-9
    assert RetryState(10.0, None, 30.0).answer_deadline_s() is None


def test_the_delay_includes_retry_after() -> None:
    full = UnavailableError("full", "full", 3.0)
    assert 3.0 <= RetryState(0.0, None, 30.0).next_delay_s(0.0, full) <= 3.025
    assert RetryState(0.0, 1.0, 30.0).next_delay_s(0.0, full) == 1.0
    assert RetryState(0.0, None, 0.5).next_delay_s(0.0, full) == 0.5


def test_g7_one_replaced_is_ignored_for_each_lost_connection() -> None:
    """G7: a request whose connection was lost may arrive after the one that repeats it, and replace that one."""
    retry = RetryState(0.0, None, None)
    assert not retry.was_replaced_by_own_request()
    retry.note_connection_lost(1.0)  # no request was sent on it
    assert not retry.was_replaced_by_own_request()
    retry.note_sent(2.0)
    retry.note_connection_lost(3.0)
    retry.note_sent(4.0)
    retry.note_answered()
    assert retry.was_replaced_by_own_request()
    assert not retry.was_replaced_by_own_request()


def test_all_servers_are_asked_before_the_client_waits() -> None:
    retry = RetryState(0.0, None, 30.0, servers_total=3)
    delays_s = [retry.next_delay_s(0.0, FAILURE) for _ in range(9)]
    assert [delay_s == 0.0 for delay_s in delays_s] == [True, True, False] * 3
    assert retry.failures == 9
    assert delays_s[2] <= 0.025
    assert delays_s[5] <= 0.05, "the delay is doubled when all have failed once more"


def test_a_failure_that_is_not_of_the_server_is_waited_for() -> None:
    retry = RetryState(0.0, None, 30.0, servers_total=3)
    assert retry.next_delay_s(0.0, UnavailableError("full", "full", 3.0)) >= 3.0
    assert retry.next_delay_s(0.0, FAILURE) == 0.0


def test_each_server_is_asked_once_without_reconnect_s() -> None:
    retry = RetryState(0.0, None, 0.0, servers_total=2)
    assert retry.next_delay_s(0.0, FAILURE) == 0.0
    with pytest.raises(UnavailableError):
        retry.next_delay_s(0.0, FAILURE)


def test_which_failures_are_of_the_server() -> None:
    assert is_of_server(FAILURE)
    assert is_of_server(UnavailableError("cut off", "cluster"))
    assert is_of_server(UnavailableError("ending", "draining"))
    assert not is_of_server(UnavailableError("full", "full"))
    assert not is_of_server(RefusedError("no", "forbidden"))


def test_a_server_may_know_the_offer_once_a_request_was_sent() -> None:
    retry = RetryState(0.0, None, None)
    known = [retry.may_have_reached_server]
    retry.note_connection_lost(0.5)
    known.append(retry.may_have_reached_server)
    retry.note_sent(1.0)
    known.append(retry.may_have_reached_server)
    retry.note_connection_lost(2.0)
    known.append(retry.may_have_reached_server)
    assert known == [False, False, True, True]


def test_which_failures_are_retried() -> None:
    bug = UnavailableError("a bug", "internal")
    bug.retry_safe = False
    assert is_retryable(FAILURE)
    assert not is_retryable(bug)
    assert not is_retryable(RefusedError("no", "forbidden"))
