"""A real server that looks for circles often: what its logs and its metrics say of actors that are stuck together."""

import json

import pytest

from tests.end_to_end.running import Server, curls, running, until

LOOKS_OFTEN = (
    "from syncnet.server import circle_watch; circle_watch._INTERVAL_S = 0.05\n"
    "from syncnet.cli import main; main(prog_name='syncnet')"
)
STUCK = "stuck together: VM waits for CUST on coin, CUST waits for VM on choc"
QUERIES = ("event=coin&actor=VM&expect=CUST&namespace=n", "event=choc&actor=CUST&expect=VM&namespace=n")


def circles_in_metrics(server: Server) -> list[str]:
    return [line for line in server.client.get("/metrics").text.splitlines() if line.startswith("syncnet_circles{")]


@pytest.mark.parametrize("log_format", ["graph", "json", "none"])
def test_a_circle_is_in_the_metrics_and_once_in_the_log(log_format: str) -> None:
    with running("--log-format", log_format, program=("-c", LOOKS_OFTEN)) as server:
        assert circles_in_metrics(server) == [
            'syncnet_circles{certainty="certain"} 0',
            'syncnet_circles{certainty="possible"} 0',
        ]
        with curls(f"{server.url}/event?{QUERIES[0]}"):
            server.until_pending(1, "n")
            with curls(f"{server.url}/event?{QUERIES[1]}"):
                until(lambda: STUCK in server.stdout + server.stderr, lambda: server.stdout + server.stderr)
                assert circles_in_metrics(server)[0] == 'syncnet_circles{certainty="certain"} 1'
                (explained,) = server.client.get("/explain", params={"namespace": "n"}).json()["circles"]
        until(lambda: circles_in_metrics(server)[0].endswith(" 0"), lambda: circles_in_metrics(server))
        assert server.stop() == 0
        assert (server.stdout + server.stderr).count(STUCK) == 1
        if log_format == "json":
            lines = [json.loads(line) for line in server.stdout.splitlines()]
            (stuck,) = [line for line in lines if line["happening"] == "stuck"]
            assert stuck == {"at": stuck["at"], "happening": "stuck", "namespace": "n"} | explained
            assert stuck["at"] >= lines[1]["at"]
        else:
            assert f"syncnet: {STUCK} in the namespace n\n" in server.stderr
