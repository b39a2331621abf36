"""What chrek reads of CRIU's images, and the addresses that it changes in them."""

import ipaddress
import socket
import struct
from dataclasses import dataclass
from typing import Any

from agent.criu import framing
from agent.criu.bundle import Bundle, messages
from chrek.errors import AddressError, DamagedError
from chrek.manifest import AddressFact

_PID_LIMIT = 1 << 22
_FAMILIES = {socket.AF_INET: "inet", socket.AF_INET6: "inet6"}


@dataclass(frozen=True, slots=True)
class Statistics:
    """What CRIU measured of a dump, in seconds; and the pages it wrote."""

    freezing_seconds: float
    frozen_seconds: float
    pages_written: int


def statistics(bundle: Bundle, content: bytes) -> Statistics:
    """Read `stats-dump`."""
    message = messages(bundle.path, "stats_pb2").stats_entry
    entry = next(framing.entries(content, message), None)
    if entry is None:
        raise DamagedError("CRIU's statistics are empty")
    return Statistics(
        freezing_seconds=entry.dump.freezing_time / 1e6,
        frozen_seconds=entry.dump.frozen_time / 1e6,
        pages_written=entry.dump.pages_written,
    )


def highest_pid(bundle: Bundle, content: bytes) -> int:
    """The highest PID, TID, group or session in `pstree.img`.

    A zombie's group and session are -1, unsigned.
    """
    message = messages(bundle.path, "pstree_pb2").pstree_entry
    found = {1}
    for entry in framing.entries(content, message):
        found.update((entry.pid, entry.pgid, entry.sid, *entry.threads))
    return max(number for number in found if number <= _PID_LIMIT)


def rebound(
    bundle: Bundle, content: bytes, source: list[AddressFact], target: list[AddressFact]
) -> bytes:
    """`files.img` with sockets bound to an address of the source bound to the target's.

    The address of the same interface and family stands in; raises AddressError where there is
    none. Sockets bound to any other address (wildcard, loopback) stay as they are.
    """
    replaced = _replacements(source, target)
    if not replaced:
        return content
    message = messages(bundle.path, "fdinfo_pb2").file_entry
    entries = list(framing.entries(content, message))
    changed = False
    for entry in entries:
        if not entry.HasField("isk") or entry.isk.family not in _FAMILIES:
            continue
        bound = _unpacked(entry.isk.family, entry.isk.src_addr)
        if bound not in replaced:
            continue
        new = replaced[bound]
        if new is None:
            raise AddressError(
                f"a socket is bound to {bound}, the source's own address, and this container has "
                "no address on the same interface",
                hint="Bind to 0.0.0.0, or give the container the same kind of network",
            )
        entry.isk.src_addr[:] = _packed(entry.isk.family, new)
        changed = True
    return framing.joined(content, entries) if changed else content


def _replacements(source: list[AddressFact], target: list[AddressFact]) -> dict[str, str | None]:
    """Of several addresses of an interface each gets its own, in their order."""
    replaced: dict[str, str | None] = {}
    kept = {fact.address for fact in source} & {fact.address for fact in target}
    taken: set[str] = set()
    for fact in source:
        if fact.address in kept:
            continue
        same = [a for a in target if (a.interface, a.family) == (fact.interface, fact.family)]
        same = [a for a in same if a.address not in kept | taken] or same
        family = [a for a in target if a.family == fact.family]
        if not same and len(family) == 1:
            same = family
        replaced[fact.address] = same[0].address if same else None
        taken.update(a.address for a in same[:1])
    return replaced


def _unpacked(family: int, words: Any) -> str:
    size = 1 if family == socket.AF_INET else 4
    packed = b"".join(struct.pack("<I", word) for word in list(words)[:size])
    if len(packed) != size * 4:
        return ""
    address = ipaddress.ip_address(packed)
    # A dual-stack socket, as Java makes them, has its IPv4 address mapped: ::ffff:10.0.0.2.
    return str(getattr(address, "ipv4_mapped", None) or address)


def _packed(family: int, address: str) -> list[int]:
    mapped = family == socket.AF_INET6 and ":" not in address
    packed = ipaddress.ip_address(f"::ffff:{address}" if mapped else address).packed
    return [word for (word,) in struct.iter_unpack("<I", packed)]
