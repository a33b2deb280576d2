"""A client process that makes offers of all kinds, repeats them until it knows their outcomes, and records everything.

`python -m tests.crash.client HOST:PORT,… SEED NAME TASKS FILE [EARLIER_FILE…]`, until SIGTERM. Then it makes no more
offers, waits for the outcomes of the pending ones, repeats some requests once more, and writes `done`. checker.py
describes the lines. Given the files of killed clients of the same name, it continues with the offers whose outcomes
they did not get.

Each of its tasks is an actor that makes one offer after another. Every offer ends: by a sync, its timeout, an abort, or
its own DELETE. An offer with an id is requested again until its outcome is known, over a kept connection, by two
concurrent requests, or by curl; an offer without an id is requested once.
"""

import asyncio
import contextlib
import itertools
import json
import os
import random
import signal
import sys
import time
from collections import deque
from pathlib import Path
from typing import Any

from tests.crash.http1 import Connection, LostError, Response, Server, curl, query

LINGER_S = 60
REQUEST_S_MAX = 15.0
"""The time for one request before it is sent again: the server may be down for some seconds."""
CODES_OF_SERVERS = {"cluster", "draining"}
"""Codes that say that another server should be asked."""
OUTCOME_CODES = {"timed-out", "aborted", "withdrawn"}
REPEATED_AT_THE_END = 100
"""How many of its last offers each client requests once more at the end."""

SPECIAL_CHARACTERS = 'é"\\\n'

Record = dict[str, Any]


class Recorder:
    """Writes the file of a client. The kernel has each line before the client continues, so SIGKILL loses none."""

    def __init__(self, path: str) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def write(self, what: str, **fields: object) -> None:
        os.write(self._file, json.dumps({"what": what, "at": time.monotonic_ns(), **fields}).encode() + b"\n")


class Offer:
    def __init__(self, token: str, namespace: str, named: bool, parameters: Record) -> None:
        self.token, self.namespace, self.named, self.parameters = token, namespace, named, parameters
        self.is_known = False

    @property
    def sent(self) -> Record:
        id = {"id": self.token, "linger": LINGER_S} if self.named else {}
        return {**self.parameters, "namespace": self.namespace, **id}


class Client:
    def __init__(self, servers: list[Server], seed: str, name: str, path: str) -> None:
        self.servers, self.seed, self.name = servers, seed, name
        self.stopping = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self.stopping.set)
        self.recorder = Recorder(path)  # when the file exists, the client can be stopped by the signal
        self.known: deque[Offer] = deque(maxlen=REPEATED_AT_THE_END)

    async def run(self, tasks: int, unfinished_offers: list[Offer]) -> None:
        async with asyncio.TaskGroup() as group:
            for number, offer in enumerate(unfinished_offers):
                group.create_task(Task(self, f"earlier{number}").complete(offer))
            for number in range(tasks):
                group.create_task(Task(self, str(number)).run())
        last_task = Task(self, "again")
        for offer in list(self.known):
            await last_task.request_until_known(offer)
        self.recorder.write("done")


class Task:
    """One actor of a client."""

    def __init__(self, client: Client, number: str) -> None:
        self.client, self.number = client, number
        self.random = random.Random(f"{client.seed} {client.name} {number}")
        self.actor = f"{client.name.partition('.')[0]}-{number}"
        first = self.random.randrange(len(client.servers))
        self.connection, self.second_connection, self.delete_connection = (
            Connection(client.servers, first + number) for number in range(3)
        )

    async def run(self) -> None:
        for count in itertools.count():
            if self.client.stopping.is_set():
                break
            offer = self.roster_offer(count) if self.number == "0" else self.any_offer(count)
            if self.number in "123" and self.random.random() < 0.3:
                await self.abort(offer)
            await self.complete(offer)
            if offer.is_known and offer.named:
                self.client.known.append(offer)
                if self.random.random() < 0.5:
                    await self.request_until_known(offer)
            await asyncio.sleep(self.random.uniform(0, 0.06))

    # --- the offers ----------------------------------------------------------------------------------------

    def any_offer(self, count: int) -> Offer:
        rng = self.random
        parameters: Record = {"event": ["pair"], "actor": self.actor}
        match rng.choice(["pair", "triple", "mixed", "choice", "colours"]):
            case "triple":
                parameters |= {"event": ["triple"], "mates": 2}
            case "mixed":
                parameters |= {"event": ["mixed"], "mates": rng.choice([1, 1, 2, 3])}
            case "choice":
                parameters |= {"event": rng.sample(["pair", "triple", "mixed", "other"], 3)}
            case "colours":
                colour, other = rng.sample(["red", "blue", "green"], 2)
                selector = rng.choice([f"colour!={colour}", f"colour in ({other},{colour}),actor!={self.actor}", ""])
                parameters |= {"event": ["colours"], "labels": {"colour": colour}}
                parameters |= {"selector": f"{selector},actor!={self.actor}".lstrip(",")}
        return self._offer(count, "default" if rng.random() < 0.8 else "second", parameters)

    def roster_offer(self, count: int) -> Offer:
        """An offer of the first task of each client: a roster of these tasks."""
        actors = ["a-0", "b-0", "c-0"]
        return self._offer(count, "default", {"event": ["roster"], "actor": self.actor, "expect": actors})

    def _offer(self, count: int, namespace: str, parameters: Record) -> Offer:
        rng = self.random
        token = f"{self.client.name}-{self.number}-{count}"
        named = rng.random() < 0.92
        parameters["payload"] = token + "|" + SPECIAL_CHARACTERS * rng.choice([0, 0, 1, 50])
        if not named or rng.random() < 0.75:
            parameters["timeout"] = round(rng.uniform(0, 2), 2)
        return Offer(token, namespace, named, parameters)

    # --- the requests --------------------------------------------------------------------------------------

    async def complete(self, offer: Offer) -> None:
        """Request an offer until its outcome is known; withdraw one without a timeout after a while."""
        requesting = asyncio.create_task(self.request_until_known(offer))
        if "timeout" not in offer.parameters:
            stopping = asyncio.create_task(self.client.stopping.wait())
            wait_s = self.random.uniform(0, 1)
            await asyncio.wait({requesting, stopping}, timeout=wait_s, return_when=asyncio.FIRST_COMPLETED)
            stopping.cancel()
            if not requesting.done():
                await self.withdraw(offer, requesting)
        await requesting

    async def request_until_known(self, offer: Offer) -> None:
        while True:
            await self.request(offer)
            if offer.is_known or not offer.named:
                return
            await asyncio.sleep(self.random.uniform(0.005, 0.05))

    async def request(self, offer: Offer) -> None:
        """Request an offer once, or by two concurrent requests."""
        rng, recorder = self.random, self.client.recorder
        recorder.write(
            "request", token=offer.token, namespace=offer.namespace, named=offer.named, parameters=offer.parameters
        )
        way = rng.choices(["connection", "twice", "curl"], [90, 6 if offer.named else 0, 4])[0]
        if way == "twice":
            await asyncio.gather(self._request(self.connection, offer), self._request(self.second_connection, offer))
        else:
            await self._request(None if way == "curl" else self.connection, offer)

    async def _request(self, connection: Connection | None, offer: Offer) -> None:
        recorder = self.client.recorder
        request: tuple[str, str, bytes | None]
        if self.random.random() < 0.5:
            request = "GET", query("/event", offer.sent), None
        else:
            # The server compares payloads as JSON text, so an escaped letter would be another parameter value.
            request = "POST", "/event", json.dumps(offer.sent, ensure_ascii=False).encode()
        try:
            response = await self._send(connection, *request)
        except LostError:
            if not offer.named:
                recorder.write("lost", token=offer.token)
            return
        recorder.write(
            "response",
            token=offer.token,
            status=response.status,
            code=response.code,
            rank=response.rank,
            body=response.body.decode(),
        )
        offer.is_known = offer.is_known or response.status == 200 or response.code in OUTCOME_CODES

    async def _send(self, connection: Connection | None, method: str, path: str, body: bytes | None) -> Response:
        if connection is None:
            return await curl(self.random.choice(self.client.servers), method, path, body, REQUEST_S_MAX)
        response = await connection.ask(method, path, body, REQUEST_S_MAX)
        if response.code in CODES_OF_SERVERS:
            connection.move()
        return response

    async def withdraw(self, offer: Offer, requesting: asyncio.Task[None]) -> None:
        """Send DELETE until it succeeded or was too late, or the offer ended otherwise; the response says which."""
        path = query("/event", {"id": offer.token, "namespace": offer.namespace})
        while not requesting.done():
            self.client.recorder.write("delete-request", token=offer.token)
            with contextlib.suppress(LostError):
                response = await self.delete_connection.ask("DELETE", path, None, REQUEST_S_MAX)
                self.client.recorder.write("delete-response", token=offer.token, status=response.status)
                if response.status in (204, 409):
                    return
            await asyncio.wait({requesting}, timeout=self.random.uniform(0.005, 0.05))

    async def abort(self, offer: Offer) -> None:
        """Abort all offers of the event of an offer, or all offers of an actor, or this offer only."""
        what = self.random.choice(["event", "actor", "id"])
        value = {"event": offer.parameters["event"][0], "actor": "b-2", "id": offer.token}[what]
        body = {what: value, "namespace": offer.namespace, "by": self.actor, "reason": f"reason {offer.token}"}
        self.client.recorder.write("abort-request", by=self.actor, reason=body["reason"])
        try:
            await self._send(self.connection, "POST", "/abort", json.dumps(body).encode())
        except LostError:
            return  # it does not matter whether the abort happened


def unfinished_offers(paths: list[str]) -> list[Offer]:
    """Return the offers with an id of earlier clients that did not get an outcome."""
    offers: dict[str, Offer] = {}
    for path in paths:
        for text in Path(path).read_text().split("\n")[:-1]:
            line: Record = json.loads(text)
            match line["what"]:
                case "request" if line["named"] and line["token"] not in offers:
                    offers[line["token"]] = Offer(line["token"], line["namespace"], True, line["parameters"])
                case "response" if line["token"] in offers and (line["status"] == 200 or line["code"] in OUTCOME_CODES):
                    offers[line["token"]].is_known = True
    return [offer for offer in offers.values() if not offer.is_known]


async def main(servers: str, seed: str, name: str, tasks: str, path: str, *earlier: str) -> None:
    unfinished = unfinished_offers(list(earlier))
    pairs = [(host, int(port)) for host, _, port in (server.rpartition(":") for server in servers.split(","))]
    await Client(pairs, seed, name, path).run(int(tasks), unfinished)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
