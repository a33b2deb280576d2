"""The kernel's table of connections, read for those who wait."""

import socket
from pathlib import Path

from syncnet.server.sweep import established


def test_only_those_whose_connection_is_open_are_established() -> None:
    for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        with socket.socket(family) as listener:
            listener.bind((host, 0))
            listener.listen()
            with socket.create_connection(listener.getsockname()[:2]) as client, listener.accept()[0]:
                name = f"[{host}]" if ":" in host else host
                there = f"{name}:{client.getsockname()[1]}"
                assert established([there, f"{name}:1"]) == {there}
                client.shutdown(socket.SHUT_WR)
                assert established([there]) in (set(), None)


def test_an_address_of_ipv4_on_a_socket_of_ipv6_is_the_same_client() -> None:
    with socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True) as listener:
        port = listener.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as client, listener.accept()[0]:
            there = f"[::ffff:127.0.0.1]:{client.getsockname()[1]}"
            assert established([there]) == {there}


def test_without_a_table_nothing_is_known(tmp_path: Path) -> None:
    assert established(["127.0.0.1:1"], [tmp_path / "none"]) is None
