"""Images as CRIU writes them: read, changed where they must be, and nowhere else."""

import contextlib
import ipaddress
import socket
import struct
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.criu import images
from agent.criu.bundle import Bundle, messages
from chrek.errors import AddressError, DamagedError
from chrek.manifest import AddressFact

COMMON, SERVICE, FILES = 0x54564319, 0x55105940, 0x56303138


def image(*entries: Any, magics: tuple[int, ...] = (COMMON, FILES)) -> bytes:
    packed = [entry.SerializeToString() for entry in entries]
    framed = [struct.pack("<I", len(piece)) + piece for piece in packed]
    return struct.pack(f"<{len(magics)}I", *magics) + b"".join(framed)


def unframed(content: bytes) -> list[bytes]:
    found, offset = [], 8
    while offset < len(content):
        (size,) = struct.unpack_from("<I", content, offset)
        found.append(content[offset + 4 : offset + 4 + size])
        offset += 4 + size
    return found


def words(address: str) -> list[int]:
    packed = ipaddress.ip_address(address).packed
    return [int.from_bytes(packed[i : i + 4], "little") for i in range(0, len(packed), 4)]


class Files:
    """Builds entries of files.img."""

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle
        self.module = messages(bundle.path, "fdinfo_pb2")

    def socket(self, address: str, port: int = 80, *, padded: bool = True) -> Any:
        """An inet socket; CRIU pads addresses of either family to four words."""
        entry = self.module.file_entry(id=port, type=self.module.fd_types.Value("INETSK"))
        version = ipaddress.ip_address(address).version
        isk = entry.isk
        isk.family = socket.AF_INET if version == 4 else socket.AF_INET6
        isk.id, isk.ino, isk.type, isk.proto, isk.state = port, 77, 1, 6, 10
        isk.src_port, isk.dst_port, isk.flags, isk.backlog = port, 0, 2, 128
        isk.src_addr[:] = words(address) + ([0, 0, 0] if version == 4 and padded else [])
        isk.dst_addr[:] = [0, 0, 0, 0]
        isk.fown.uid = isk.fown.euid = isk.fown.signum = isk.fown.pid_type = isk.fown.pid = 0
        for name in ("so_sndbuf", "so_rcvbuf", "so_snd_tmo_sec", "so_snd_tmo_usec"):
            setattr(isk.opts, name, 1)
        isk.opts.so_rcv_tmo_sec = isk.opts.so_rcv_tmo_usec = 0
        return entry

    def regular(self, number: int) -> Any:
        entry = self.module.file_entry(id=number, type=self.module.fd_types.Value("REG"))
        entry.reg.id, entry.reg.flags, entry.reg.pos, entry.reg.name = number, 0, 5, "/etc/motd"
        for name in ("uid", "euid", "signum", "pid_type", "pid"):
            setattr(entry.reg.fown, name, 0)
        return entry

    def addresses(self, content: bytes) -> list[str]:
        found = [self.module.file_entry.FromString(piece) for piece in unframed(content)]
        return [
            str(ipaddress.ip_address(struct.pack("<4I", *entry.isk.src_addr)))
            if entry.isk.family == socket.AF_INET6
            else str(ipaddress.ip_address(struct.pack("<I", entry.isk.src_addr[0])))
            for entry in found
            if entry.HasField("isk")
        ]


@pytest.fixture
def files(bundle: Bundle) -> Files:
    return Files(bundle)


def v4(address: str, interface: str = "eth0") -> AddressFact:
    return AddressFact(interface, "inet", address)


def v6(address: str, interface: str = "eth0") -> AddressFact:
    return AddressFact(interface, "inet6", address)


@pytest.mark.parametrize("padded", [True, False])
def test_sockets_bound_to_an_own_address_are_bound_to_the_targets(
    files: Files, padded: bool
) -> None:
    made = [files.socket("10.0.0.2", padded=padded), files.regular(3), files.socket("10.0.0.2", 81)]
    found = images.rebound(files.bundle, image(*made), [v4("10.0.0.2")], [v4("10.0.0.9")])
    assert files.addresses(found) == ["10.0.0.9", "10.0.0.9"]
    entries = [files.module.file_entry.FromString(piece) for piece in unframed(found)]
    assert [entry.id for entry in entries] == [80, 3, 81]
    for entry in entries:
        if entry.HasField("isk"):
            entry.isk.src_addr[0] = words("10.0.0.2")[0]
            assert (entry.isk.src_port, list(entry.isk.dst_addr)) == (entry.id, [0, 0, 0, 0])
    assert unframed(found)[1] == made[1].SerializeToString()
    assert found[:8] == image()


def test_ipv6_has_addresses_of_its_own(files: Files) -> None:
    content = image(files.socket("fd00::2"), files.socket("10.0.0.2", 81))
    source = [v4("10.0.0.2"), v6("fd00::2")]
    found = images.rebound(files.bundle, content, source, [v4("10.0.0.9"), v6("fd00::9")])
    assert files.addresses(found) == ["fd00::9", "10.0.0.9"]


def test_an_ipv4_address_on_an_ipv6_socket_is_an_own_address_too(files: Files) -> None:
    """As dual-stack servers have it, Java's among them."""
    content = image(files.socket("::ffff:10.0.0.2"))
    found = images.rebound(files.bundle, content, [v4("10.0.0.2")], [v4("10.0.0.9")])
    assert files.addresses(found) == [str(ipaddress.ip_address("::ffff:10.0.0.9"))]


@pytest.mark.parametrize(
    "address", ["0.0.0.0", "127.0.0.1", "::", "::1", "10.0.0.3", "fe80::1", "fd00::3"]
)
def test_any_other_address_stays_byte_for_byte(files: Files, address: str) -> None:
    content = image(files.socket(address), files.regular(3))
    source, target = [v4("10.0.0.2"), v6("fd00::2")], [v4("10.0.0.9")]
    assert images.rebound(files.bundle, content, source, target) == content


def test_the_address_of_the_same_interface_is_taken(files: Files) -> None:
    content = image(files.socket("10.0.0.2"), files.socket("10.1.0.2", 81))
    source = [v4("10.0.0.2"), v4("10.1.0.2", "eth1")]
    target = [v4("10.1.0.9", "eth1"), v4("10.0.0.9")]
    found = images.rebound(files.bundle, content, source, target)
    assert files.addresses(found) == ["10.0.0.9", "10.1.0.9"]


def test_several_addresses_of_one_interface_stay_several(files: Files) -> None:
    content = image(files.socket("10.0.0.2"), files.socket("10.0.0.3"))
    source = [v4("10.0.0.2"), v4("10.0.0.3")]
    found = images.rebound(files.bundle, content, source, [v4("10.0.0.8"), v4("10.0.0.9")])
    assert files.addresses(found) == ["10.0.0.8", "10.0.0.9"]


def test_an_address_that_the_target_has_too_stays(files: Files) -> None:
    content = image(files.socket("10.0.0.2"))
    target = [v4("10.0.0.1"), v4("10.0.0.2")]
    assert images.rebound(files.bundle, content, [v4("10.0.0.2")], target) == content


def test_the_only_address_of_the_family_will_do(files: Files) -> None:
    found = images.rebound(
        files.bundle, image(files.socket("10.0.0.2")), [v4("10.0.0.2")], [v4("10.0.0.9", "net1")]
    )
    assert files.addresses(found) == ["10.0.0.9"]


@pytest.mark.parametrize(
    "target",
    [[], [v6("fd00::9")], [v4("10.0.0.8", "net1"), v4("10.0.0.9", "net2")]],
    ids=["none", "other family", "ambiguous"],
)
def test_without_a_counterpart_it_is_refused(files: Files, target: list[AddressFact]) -> None:
    content = image(files.socket("10.0.0.2"))
    with pytest.raises(AddressError, match=r"bound to 10\.0\.0\.2") as caught:
        images.rebound(files.bundle, content, [v4("10.0.0.2")], target)
    assert "0.0.0.0" in caught.value.hint
    other = image(files.socket("0.0.0.0"))
    assert images.rebound(files.bundle, other, [v4("10.0.0.2")], target) == other


def test_the_highest_number_is_of_any_kind(bundle: Bundle) -> None:
    made = messages(bundle.path, "pstree_pb2").pstree_entry
    first = made(pid=1000, ppid=0, pgid=1000, sid=1000, threads=[1000, 1007])
    assert images.highest_pid(bundle, image(first)) == 1007
    for name in ("pid", "pgid", "sid"):
        second = made(pid=1, ppid=4_000_000, pgid=1, sid=0, threads=[])
        setattr(second, name, 5000)
        assert images.highest_pid(bundle, image(first, second)) == 5000
    assert images.highest_pid(bundle, image()) == 1


def test_statistics_are_in_seconds(bundle: Bundle) -> None:
    entry = messages(bundle.path, "stats_pb2").stats_entry()
    for field in entry.dump.DESCRIPTOR.fields:
        if field.is_required:
            setattr(entry.dump, field.name, 0)
    entry.dump.freezing_time, entry.dump.frozen_time, entry.dump.pages_written = 1500, 250_000, 9
    found = images.statistics(bundle, image(entry, magics=(SERVICE, 0x57093306)))
    assert found == images.Statistics(0.0015, 0.25, 9)
    with pytest.raises(DamagedError, match="empty"):
        images.statistics(bundle, image())


def test_an_older_image_has_one_magic_number(bundle: Bundle) -> None:
    made = messages(bundle.path, "pstree_pb2").pstree_entry
    entry = made(pid=1, ppid=0, pgid=1, sid=1, threads=[33])
    assert images.highest_pid(bundle, image(entry, magics=(0x50273030,))) == 33


def test_an_image_cut_off_anywhere_but_between_entries_is_damaged(files: Files) -> None:
    first = image(files.socket("10.0.0.2"))
    content = first + image(files.regular(3))[8:]
    for size in range(len(content)):
        if size in (8, len(first)):
            continue
        with pytest.raises(DamagedError):
            images.rebound(files.bundle, content[:size], [v4("10.9.9.9")], [v4("10.9.9.8")])


@settings(deadline=None)
@given(data=st.data())
def test_an_image_with_bytes_changed_is_read_or_damaged(bundle: Bundle, data: Any) -> None:
    files = Files(bundle)
    content = bytearray(image(files.socket("10.0.0.2"), files.regular(3)))
    for _ in range(3):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    for read in (images.highest_pid, images.statistics):
        with contextlib.suppress(DamagedError):
            read(bundle, bytes(content))
    with contextlib.suppress(DamagedError):
        images.rebound(bundle, bytes(content), [v4("10.0.0.2")], [v4("10.0.0.9")])
