"""A reader of the live trace: HTTP over a socket of its own, so that a test decides when it reads."""

import http.client
import json
import socket
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlencode

TIMEOUT_S = 30

SSE = {"accept": "text/event-stream"}


class Reader:
    """One open stream; `position` is that of the last object that had one."""

    def __init__(
        self,
        port: int,
        headers: dict[str, str] | None = None,
        path: str = "/trace",
        *,
        receive_bytes: int = 0,
        **query: Any,
    ) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)
        sock = socket.socket()
        if receive_bytes:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        sock.settimeout(TIMEOUT_S)
        sock.connect(("127.0.0.1", port))
        self._connection.sock = sock
        self._connection.request("GET", f"{path}?{urlencode(query)}", headers=headers or {})
        self.response = self._connection.getresponse()
        self.status = self.response.status
        self.is_sse = self.response.headers["content-type"] == "text/event-stream"
        self.position = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self.response.close()
        self._connection.close()

    def body(self) -> bytes:
        """Read to the end."""
        return self.response.read()

    def block(self) -> dict[str, str]:
        """Read one block of server-sent events, as fields; a comment has the name ""."""
        fields: dict[str, str] = {}
        while line := self.line():
            name, _, value = line.partition(":")
            fields[name] = value.removeprefix(" ")
        return fields

    def line(self) -> str:
        line = self.response.readline()
        if not line:
            raise EOFError("the stream has ended")
        return line.decode().removesuffix("\n")

    def next(self) -> dict[str, Any]:
        """Read one object."""
        while True:
            if self.is_sse:
                fields = self.block()
                text = fields.get("data", "")
            else:
                text = self.line()
            if not text:
                continue
            described: dict[str, Any] = json.loads(text)
            if self.is_sse:
                assert fields["event"] == described["happening"]
                assert fields.get("id") == described.get("position")
            self.position = described.get("position", self.position)
            return described

    def take(self, objects: int) -> list[dict[str, Any]]:
        return [self.next() for _ in range(objects)]

    def words(self, objects: int) -> list[str]:
        """Read some objects; say each in few words."""
        return [in_words(each) for each in self.take(objects)]


def in_words(described: dict[str, Any]) -> str:
    happening = described["happening"]
    match happening:
        case "open":
            return f"open {described['pending']}"
        case "gap":
            return f"gap {described['missed']}"
        case "synced":
            return f"synced {described['event']} {' '.join(member['actor'] for member in described['members'])}"
    return f"{happening} {'|'.join(described['events'])} {described['actor']}"
