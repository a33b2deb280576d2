"""The send queue of a connection: what its client has not read, as the kernel counts it."""

import socket
from collections.abc import Iterator
from contextlib import closing

import pytest

from syncnet.server.send_queue import UNSENT_BYTES_MAX, SendQueue


@pytest.fixture(params=["127.0.0.1", "::1"])
def pair(request: pytest.FixtureRequest) -> Iterator[tuple[socket.socket, socket.socket]]:
    family = socket.AF_INET6 if ":" in request.param else socket.AF_INET
    with (
        socket.create_server((request.param, 0), family=family) as listener,
        socket.socket(family) as client,
    ):
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        client.connect(listener.getsockname())
        server, _ = listener.accept()
        with server:
            yield client, server


def written(address: tuple[object, ...]) -> str:
    return f"[{address[0]}]:{address[1]}" if ":" in str(address[0]) else f"{address[0]}:{address[1]}"


def queue_of(server: socket.socket) -> SendQueue:
    return SendQueue(written(server.getpeername()), written(server.getsockname()))


def test_a_full_queue_has_no_room_until_the_client_reads(pair: tuple[socket.socket, socket.socket]) -> None:
    client, server = pair
    with closing(queue_of(server)) as queue:
        assert queue.is_known
        assert queue.has_room()
        server.setblocking(False)
        sent = 0
        try:
            while True:
                sent += server.send(b"x" * UNSENT_BYTES_MAX)
        except BlockingIOError:
            pass
        assert not queue.has_room()
        while sent:
            sent -= len(client.recv(sent))
        while not queue.has_room():  # until the last acknowledgement has come
            pass


def test_to_close_the_queue_leaves_the_connection_open(pair: tuple[socket.socket, socket.socket]) -> None:
    client, server = pair
    queue_of(server).close()
    server.sendall(b"hello")
    assert client.recv(5) == b"hello"


def test_without_a_socket_little_is_sent_at_a_time() -> None:
    """There is no such connection, as on a system without /proc."""
    with closing(SendQueue("192.0.2.1:1", "192.0.2.2:2")) as queue:
        assert not queue.is_known
        assert [queue.has_room() for _ in range(3)] == [True, False, False]
