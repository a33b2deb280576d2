"""The keep-alive options of a listening socket, and whether it listens on the loopback only."""

import socket

import pytest

from syncnet.server.address import KEEPALIVE_S_MAX, KEEPALIVE_S_MIN, Address, is_loopback, keepalive_options, listen


@pytest.mark.parametrize("keepalive_s", [*range(KEEPALIVE_S_MIN, 200), KEEPALIVE_S_MAX])
def test_idle_time_and_probes_add_up_to_the_keepalive(keepalive_s: int) -> None:
    options = keepalive_options(keepalive_s)
    idle_s, interval_s, probes = (options[f"TCP_KEEP{name}"] for name in ("IDLE", "INTVL", "CNT"))
    assert idle_s + interval_s * probes == keepalive_s
    assert idle_s >= 1
    assert interval_s >= 1
    assert probes >= 2, "one lost packet must not close a connection"
    assert options["TCP_USER_TIMEOUT"] == keepalive_s * 1_000


def test_accepted_connections_inherit_the_options() -> None:
    with listen(Address("127.0.0.1", 0), 7) as listener, socket.create_connection(listener.getsockname()):
        accepted, _ = listener.accept()
        with accepted:
            assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            expected = {name: value for name, value in keepalive_options(7).items() if hasattr(socket, name)}
            assert expected
            for name, value in expected.items():
                assert accepted.getsockopt(socket.IPPROTO_TCP, getattr(socket, name)) == value


@pytest.mark.parametrize(
    ("host", "expected"),
    [("127.0.0.1", True), ("127.9.9.9", True), ("localhost", True), ("", False), ("0.0.0.0", False)],
)
def test_is_loopback(host: str, expected: bool) -> None:
    with listen(Address(host, 0)) as listener:
        assert is_loopback(listener) is expected
