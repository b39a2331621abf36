"""TCP: what the source's peers notice (nothing), and what a copy begins with."""

import socket
import struct
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.machine.conftest import wait_for
from tests.survival.lives import Life, Lives

PORT = 7000
ESTABLISHED, SYN_RECV, FIN_WAIT_2, CLOSE_WAIT, LISTEN = "01", "03", "05", "08", "0A"


@pytest.fixture
def peers() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def connected(peers: ExitStack, life: Life) -> socket.socket:
    return peers.enter_context(socket.create_connection((life.address, PORT), timeout=30))


def test_every_state_of_a_connection(lives: Lives, peers: ExitStack) -> None:
    """Established, closed by either side, waiting to be accepted, and half open."""
    source = lives.start("connections", "connections.py")
    established = connected(peers, source)
    source.ask("accept")
    closed_here = connected(peers, source)
    source.ask("accept")
    closed_here.shutdown(socket.SHUT_WR)
    connected(peers, source)
    source.ask("accept")
    source.ask("half-close")
    waiting = [connected(peers, source) for _ in range(3)]
    waiting[0].sendall(b"early")
    half_open(source)
    wait_for(lambda: SYN_RECV in source.ask()["states"], "the half-open connections")
    states = source.ask()["states"]
    assert states.keys() >= {ESTABLISHED, FIN_WAIT_2, CLOSE_WAIT, LISTEN}

    copy = lives.again(source, "copy")

    assert copy.ask()["states"] == {LISTEN: 1}
    assert copy.ask()["said"] == [""] * 3  # closed, as by a peer that went
    connected(peers, copy).sendall(b"hello")
    assert copy.ask("accept")["said"][-1] == "hello"
    after = source.ask()["states"]
    for state in (ESTABLISHED, FIN_WAIT_2, CLOSE_WAIT, LISTEN):
        assert after[state] == states[state]
    established.sendall(b"still")
    said = source.ask("accept")["said"]
    assert said[0] == "still"
    assert said[-1] == "early"


def half_open(life: Life) -> None:
    """Connections from an address of its network that never answers."""
    home, _, _ = life.address.rpartition(".")
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_TCP) as raw:
        raw.setsockopt(socket.IPPROTO_IP, socket.IP_HDRINCL, 1)
        for number in range(3):
            raw.sendto(_syn(f"{home}.250", 40_000 + number, life.address), (life.address, 0))


def _syn(source: str, port: int, destination: str) -> bytes:
    addresses = socket.inet_aton(source) + socket.inet_aton(destination)

    def segment(checksum: int) -> bytes:
        return struct.pack("!HHIIBBHHH", port, PORT, 1, 0, 5 << 4, 2, 65535, checksum, 0)

    pseudo = addresses + struct.pack("!BBH", 0, socket.IPPROTO_TCP, len(segment(0)))
    words = struct.unpack("!16H", pseudo + segment(0))
    total = sum(words)
    total = (total >> 16) + (total & 0xFFFF)
    checked = segment(~(total + (total >> 16)) & 0xFFFF)
    head = struct.pack("!BBHHHBBH", 0x45, 0, 40, 1, 0, 64, socket.IPPROTO_TCP, 0)
    return head + addresses + checked
