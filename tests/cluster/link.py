"""The one way into the node: a pair of interfaces, and a route on the host."""

import ipaddress

from .commands import run
from .errors import ClusterError
from .layout import HOST_ADDRESS, LINK, NETWORK, NODE_ADDRESS, SERVICES
from .node import Node


def make(node: Node) -> None:
    """Join the host and the node; nothing leads from the node to anywhere else."""
    remove()
    _refuse_taken_network()
    peer = ["peer", "name", "eth0", "netns", str(node.pid)]
    run(["ip", "link", "add", LINK, "type", "veth", *peer])
    run(["ip", "address", "add", f"{HOST_ADDRESS}/30", "dev", LINK])
    run(["ip", "link", "set", LINK, "up"])
    run(["ip", "route", "add", NETWORK, "via", NODE_ADDRESS])
    node.run("ip", "link", "set", "lo", "up")
    node.run("ip", "address", "add", f"{NODE_ADDRESS}/30", "dev", "eth0")
    node.run("ip", "link", "set", "eth0", "up")
    # The API server calls webhooks by their Services: kube-proxy's rules change where such a packet
    # goes, but only of one that had a route.
    node.run("ip", "route", "add", SERVICES, "dev", "lo", "src", NODE_ADDRESS)
    # So that who tries knows at once.
    node.run("ip", "route", "add", "unreachable", "default")
    node.run("sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward")


def remove() -> None:
    """A network namespace is taken apart some time after its last process: do not wait for it."""
    if exists():
        run(["ip", "link", "delete", LINK], check=False)


def exists() -> bool:
    """Whether the host's end is there."""
    return bool(run(["ip", "-o", "link", "show", "dev", LINK], check=False))


def _refuse_taken_network() -> None:
    ours = ipaddress.ip_network(NETWORK)
    for line in run(["ip", "-o", "route", "show", "table", "main"]).splitlines():
        words = line.split()
        if words[0][0].isdigit() and ipaddress.ip_network(words[0], strict=False).overlaps(ours):
            raise ClusterError(
                f"{NETWORK} is taken on this machine ({line.strip()}):"
                " set CHREK_CLUSTER_NETWORK to two other numbers, as 10.214"
            )
