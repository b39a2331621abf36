"""Addresses of a process's network namespace, read from its /proc, so nothing is entered."""

import ipaddress
import re
from itertools import pairwise
from pathlib import Path

from chrek.manifest import AddressFact

_LOCAL = re.compile(r"^\s+/32 host LOCAL$")
_LEAF = re.compile(r"^\s+\|--\s+(\S+)$")


def own(pid: int) -> list[AddressFact]:
    """Addresses of `pid`'s network namespace but for loopback and link-local ones."""
    return sorted([*_ipv4(pid), *_ipv6(pid)], key=lambda a: (a.interface, a.family, a.address))


def _routes(pid: int) -> list[tuple[str, ipaddress.IPv4Network]]:
    found: list[tuple[str, ipaddress.IPv4Network]] = []
    for line in Path(f"/proc/{pid}/net/route").read_text().splitlines()[1:]:
        interface, destination, *rest = line.split()
        mask = rest[5]
        found.append((interface, _network(destination, mask)))
    return sorted(found, key=lambda route: -route[1].prefixlen)


def _network(destination: str, mask: str) -> ipaddress.IPv4Network:
    address, netmask = (
        ipaddress.IPv4Address(int.from_bytes(bytes.fromhex(text), "little"))
        for text in (destination, mask)
    )
    return ipaddress.IPv4Network(f"{address}/{netmask}", strict=False)


def _ipv4(pid: int) -> list[AddressFact]:
    """/proc/PID/net/fib_trie names local addresses but not interfaces; the routes do."""
    lines = Path(f"/proc/{pid}/net/fib_trie").read_text().splitlines()
    local: set[ipaddress.IPv4Address] = set()
    for leaf, below in pairwise(lines):
        found = _LEAF.match(leaf)
        if found and _LOCAL.match(below):
            local.add(ipaddress.IPv4Address(found[1]))
    routes = _routes(pid)
    facts: list[AddressFact] = []
    for address in local:
        if address.is_loopback or address.is_link_local:
            continue
        interface = next((name for name, network in routes if address in network), "")
        facts.append(AddressFact(interface, "inet", str(address)))
    return facts


def _ipv6(pid: int) -> list[AddressFact]:
    facts: list[AddressFact] = []
    try:
        lines = Path(f"/proc/{pid}/net/if_inet6").read_text().splitlines()
    except FileNotFoundError:
        return facts  # a kernel without IPv6
    for line in lines:
        packed, _, _, _, _, interface = line.split()
        address = ipaddress.IPv6Address(bytes.fromhex(packed))
        if not (address.is_loopback or address.is_link_local):
            facts.append(AddressFact(interface, "inet6", str(address)))
    return facts
