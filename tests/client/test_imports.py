"""What importing a client, or running a command, loads and needs."""

import subprocess
import sys

SERVER_PACKAGES = ("granian", "uvloop", "click", "yaml")


def test_the_clients_do_not_need_the_packages_of_the_server() -> None:
    code = f"""
import sys
for name in {SERVER_PACKAGES}:
    sys.modules[name] = None  # importing it now raises ImportError
import syncnet
syncnet.Client, syncnet.AsyncClient, syncnet.AsyncOffer, syncnet.Net, syncnet.OfferOptions, syncnet.Sync
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_command_loads_no_more_than_it_needs() -> None:
    """A command must start fast, so it loads neither the server nor tasks, YAML or logging."""
    heavy = ("granian", "uvloop", "yaml", "asyncio", "anyio", "ssl", "syncnet.coordinator.coordinator", "logging")
    code = f"import sys, syncnet.cli.event; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
