"""A client process that makes offers of all sorts, asks until it knows what became of them, and writes it all down.

`python -m tests.crash.client PORT SEED NAME TASKS FILE [FILE_OF_BEFORE…]`, until SIGTERM: then it makes no more offers,
sees the open ones through, asks once more for some that it knows, and writes `done`. What the lines mean stands in
checker.py. Given the files of clients of the same name that were killed, it goes on asking for what they did not know.

Each of its tasks is an actor that makes one offer after another. An offer ends by a sync, by its timeout, by somebody's
abort, or by its own DELETE, so that nobody waits for ever. With an id it is asked for again and again until its client
knows, over a connection that is kept, by two requests at once, or by curl; without, it is asked for once.
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

from tests.crash.http1 import Answer, Line, LostError, curl, query

LINGER_S = 60
WAIT_S = 15.0
"""How long one request may take before it is given up and made again: a server may be away for some seconds."""
OUTCOME_CODES = {"timed-out", "aborted", "withdrawn"}
AGAIN_AT_THE_END = 100
"""Offers, the last so many, for which each client asks once more when all is over."""

HARD_TEXT = 'é"\\\n'

Record = dict[str, Any]


class Book:
    """What the client writes down. A line is with the kernel before the client goes on, so kill -9 does not lose it."""

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
    def __init__(self, port: int, seed: str, name: str, path: str) -> None:
        self.port, self.seed, self.name = port, seed, name
        self.stopping = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self.stopping.set)
        self.book = Book(path)  # whoever sees the file may send the signal
        self.known: deque[Offer] = deque(maxlen=AGAIN_AT_THE_END)

    async def run(self, tasks: int, open_offers: list[Offer]) -> None:
        async with asyncio.TaskGroup() as group:
            for number, offer in enumerate(open_offers):
                group.create_task(Task(self, f"before{number}").see_through(offer))
            for number in range(tasks):
                group.create_task(Task(self, str(number)).go_on())
        again = Task(self, "again")
        for offer in list(self.known):
            await again.ask_until_known(offer)
        self.book.write("done")


class Task:
    """One actor."""

    def __init__(self, client: Client, number: str) -> None:
        self.client, self.number = client, number
        self.random = random.Random(f"{client.seed} {client.name} {number}")
        self.actor = f"{client.name.partition('.')[0]}-{number}"
        self.line, self.second_line, self.line_of_deletes = (Line(client.port) for _ in range(3))

    async def go_on(self) -> None:
        for count in itertools.count():
            if self.client.stopping.is_set():
                break
            offer = self.roster_offer(count) if self.number == "0" else self.any_offer(count)
            if self.number in "123" and self.random.random() < 0.3:
                await self.abort(offer)
            await self.see_through(offer)
            if offer.is_known and offer.named:
                self.client.known.append(offer)
                if self.random.random() < 0.5:
                    await self.ask_until_known(offer)
            await asyncio.sleep(self.random.uniform(0, 0.06))

    # --- what is offered -----------------------------------------------------------------------------------

    def any_offer(self, count: int) -> Offer:
        draw = self.random
        parameters: Record = {"event": ["pair"], "actor": self.actor}
        match draw.choice(["pair", "triple", "mixed", "choice", "colours"]):
            case "triple":
                parameters |= {"event": ["triple"], "mates": 2}
            case "mixed":
                parameters |= {"event": ["mixed"], "mates": draw.choice([1, 1, 2, 3])}
            case "choice":
                parameters |= {"event": draw.sample(["pair", "triple", "mixed", "other"], 3)}
            case "colours":
                colour, other = draw.sample(["red", "blue", "green"], 2)
                selector = draw.choice([f"colour!={colour}", f"colour in ({other},{colour}),actor!={self.actor}", ""])
                parameters |= {"event": ["colours"], "labels": {"colour": colour}}
                parameters |= {"selector": f"{selector},actor!={self.actor}".lstrip(",")}
        return self._offer(count, "default" if draw.random() < 0.8 else "second", parameters)

    def roster_offer(self, count: int) -> Offer:
        """An offer of the first task of each client: all of them must come, and nobody else."""
        actors = ["a-0", "b-0", "c-0"]
        return self._offer(count, "default", {"event": ["roster"], "actor": self.actor, "expect": actors})

    def _offer(self, count: int, namespace: str, parameters: Record) -> Offer:
        draw = self.random
        token = f"{self.client.name}-{self.number}-{count}"
        named = draw.random() < 0.92
        parameters["payload"] = token + "|" + HARD_TEXT * draw.choice([0, 0, 1, 50])
        if not named or draw.random() < 0.75:
            parameters["timeout"] = round(draw.uniform(0, 2), 2)
        return Offer(token, namespace, named, parameters)

    # --- how it is asked for -------------------------------------------------------------------------------

    async def see_through(self, offer: Offer) -> None:
        """Ask until it is known what became of an offer; withdraw one that would wait for ever."""
        asking = asyncio.create_task(self.ask_until_known(offer))
        if "timeout" not in offer.parameters:
            stopping = asyncio.create_task(self.client.stopping.wait())
            patience_s = self.random.uniform(0, 1)
            await asyncio.wait({asking, stopping}, timeout=patience_s, return_when=asyncio.FIRST_COMPLETED)
            stopping.cancel()
            if not asking.done():
                await self.withdraw(offer, asking)
        await asking

    async def ask_until_known(self, offer: Offer) -> None:
        while True:
            await self.ask(offer)
            if offer.is_known or not offer.named:
                return
            await asyncio.sleep(self.random.uniform(0.005, 0.05))

    async def ask(self, offer: Offer) -> None:
        """Ask for an offer once, or by two requests at once."""
        draw, book = self.random, self.client.book
        book.write("asks", token=offer.token, namespace=offer.namespace, named=offer.named, parameters=offer.parameters)
        manner = draw.choices(["line", "twice", "curl"], [90, 6 if offer.named else 0, 4])[0]
        if manner == "twice":
            await asyncio.gather(self._ask(self.line, offer), self._ask(self.second_line, offer))
        else:
            await self._ask(None if manner == "curl" else self.line, offer)

    async def _ask(self, line: Line | None, offer: Offer) -> None:
        book = self.client.book
        request: tuple[str, str, bytes | None]
        if self.random.random() < 0.5:
            request = "GET", query("/event", offer.sent), None
        else:
            # A payload is compared by its JSON text, so an escaped letter is another than the letter itself.
            request = "POST", "/event", json.dumps(offer.sent, ensure_ascii=False).encode()
        try:
            answer = await self._answer(line, *request)
        except LostError:
            if not offer.named:
                book.write("lost", token=offer.token)
            return
        book.write(
            "told",
            token=offer.token,
            status=answer.status,
            code=answer.code,
            rank=answer.rank,
            body=answer.body.decode(),
        )
        offer.is_known = offer.is_known or answer.status == 200 or answer.code in OUTCOME_CODES

    async def _answer(self, line: Line | None, method: str, path: str, body: bytes | None) -> Answer:
        if line is None:
            return await curl(self.client.port, method, path, body, WAIT_S)
        return await line.ask(method, path, body, WAIT_S)

    async def withdraw(self, offer: Offer, asking: asyncio.Task[None]) -> None:
        """Send DELETE until it worked or came too late, or the offer ended otherwise. Asking tells which."""
        path = query("/event", {"id": offer.token, "namespace": offer.namespace})
        while not asking.done():
            self.client.book.write("withdraws", token=offer.token)
            with contextlib.suppress(LostError):
                answer = await self.line_of_deletes.ask("DELETE", path, None, WAIT_S)
                self.client.book.write("withdrawal", token=offer.token, status=answer.status)
                if answer.status in (204, 409):
                    return
            await asyncio.wait({asking}, timeout=self.random.uniform(0.005, 0.05))

    async def abort(self, offer: Offer) -> None:
        """Abort all that waits for the event of an offer, or all of its actor, or it alone."""
        what = self.random.choice(["event", "actor", "id"])
        value = {"event": offer.parameters["event"][0], "actor": "b-2", "id": offer.token}[what]
        wish = {what: value, "namespace": offer.namespace, "by": self.actor, "reason": f"reason {offer.token}"}
        self.client.book.write("aborts", by=self.actor, reason=wish["reason"])
        try:
            await self._answer(self.line, "POST", "/abort", json.dumps(wish).encode())
        except LostError:
            return  # nobody needs to know whether it happened


def open_offers(paths: list[str]) -> list[Offer]:
    """Return what clients of before asked for with an id and did not learn."""
    offers: dict[str, Offer] = {}
    for path in paths:
        for text in Path(path).read_text().split("\n")[:-1]:
            line: Record = json.loads(text)
            match line["what"]:
                case "asks" if line["named"] and line["token"] not in offers:
                    offers[line["token"]] = Offer(line["token"], line["namespace"], True, line["parameters"])
                case "told" if line["token"] in offers and (line["status"] == 200 or line["code"] in OUTCOME_CODES):
                    offers[line["token"]].is_known = True
    return [offer for offer in offers.values() if not offer.is_known]


async def main(port: str, seed: str, name: str, tasks: str, path: str, *before: str) -> None:
    open_before = open_offers(list(before))
    await Client(int(port), seed, name, path).run(int(tasks), open_before)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
