"""Addresses read from /proc are those that `ip` shows."""

import ipaddress
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from agent.kernel import addresses
from chrek.manifest import AddressFact

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("ip") is None, reason="needs root and iproute2"
)


@pytest.fixture
def network() -> Iterator[Callable[[str], int]]:
    """Makes a network namespace with links eth0 and eth1 and what a batch for `ip` asks for."""
    with ExitStack() as stack:

        def made(batch: str) -> int:
            command = [
                sys.executable,
                "-S",
                "-c",
                "import sys; print(flush=True); sys.stdin.read()",
            ]
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
            holder = stack.enter_context(subprocess.Popen(["unshare", "--net", *command], **pipes))
            holder.stdout.readline()
            links = "link set lo up\nlink add eth0 type veth peer name eth1\n"
            ip(holder.pid, f"{links}link set eth0 up\nlink set eth1 up\n{batch}\n")
            return holder.pid

        yield made


def ip(pid: int, batch: str) -> None:
    done = subprocess.run(
        ["nsenter", f"--net=/proc/{pid}/ns/net", "ip", "-batch", "-"],
        input=batch,
        text=True,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def shown(pid: int) -> list[AddressFact]:
    """What `ip` shows, but for loopback and link-local addresses."""
    command = ["nsenter", f"--net=/proc/{pid}/ns/net", "ip", "-json", "address"]
    links = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    facts = [
        AddressFact(link["ifname"], info["family"], info["local"])
        for link in links
        for info in link["addr_info"]
        if not ipaddress.ip_address(info["local"]).is_loopback
        and not ipaddress.ip_address(info["local"]).is_link_local
    ]
    return sorted(facts, key=lambda fact: (fact.interface, fact.family, fact.address))


@pytest.mark.parametrize(
    "batch",
    [
        "",
        "addr add 10.1.2.3/24 dev eth0",
        "addr add 10.1.2.3/24 dev eth0\naddr add 10.1.2.9/24 dev eth0\n"
        "addr add 10.7.0.1/16 dev eth0",
        "addr add 10.1.2.3/24 dev eth0\naddr add 192.168.7.7/28 dev eth1",
        "addr add 10.1.2.3/24 dev eth0\nroute add default via 10.1.2.1",
        "addr add 10.0.0.1/8 dev eth0\naddr add 10.1.0.1/16 dev eth1",
        "addr add 10.1.2.0/31 dev eth0",
        "addr add 169.254.9.9/16 dev eth0",
        "addr add fd00::1:2/64 dev eth0 nodad\naddr add 10.1.2.3/24 dev eth0",
        "addr add fd00::1/64 dev eth0 nodad\naddr add fd00::2/64 dev eth0 nodad\n"
        "addr add fd01::1/128 dev eth1 nodad",
        # As Calico has it: a host address, and a route to a gateway that is in no network.
        "addr add 10.1.2.3/32 dev eth0\nroute add 169.254.1.1 dev eth0 scope link\n"
        "route add default via 169.254.1.1 dev eth0",
    ],
    ids=[
        *("none", "one", "several", "two links", "default", "nested", "point to point"),
        *("link-local", "both families", "IPv6 only", "host address"),
    ],
)
def test_addresses_are_those_that_ip_shows(network: Callable[[str], int], batch: str) -> None:
    pid = network(batch)
    assert addresses.own(pid) == shown(pid)
    assert len(addresses.own(pid)) == batch.count("addr add") - batch.count("add 169.254.9.9")
