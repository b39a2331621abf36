"""Which of the kernel's socket monitors CRIU can ask; asking makes the kernel load them."""

import errno
import socket
import struct
from typing import Final

MODULES: Final = ("tcp_diag", "udp_diag", "unix_diag", "netlink_diag", "af_packet_diag")

_NETLINK_SOCK_DIAG = 4
_SOCK_DIAG_BY_FAMILY = 20
_NLM_F_REQUEST, _NLM_F_DUMP = 0x1, 0x300
_NLMSG_ERROR = 2
_REQUESTS: Final = {
    "tcp_diag": (socket.AF_INET, socket.IPPROTO_TCP, 56),
    "udp_diag": (socket.AF_INET, socket.IPPROTO_UDP, 56),
    "unix_diag": (socket.AF_UNIX, 0, 24),
    "netlink_diag": (socket.AF_NETLINK, 255, 20),
    "af_packet_diag": (socket.AF_PACKET, 0, 20),
}


def missing_modules() -> list[str]:
    """Monitors that this kernel neither has nor can load."""
    return [module for module in MODULES if not _answers(*_REQUESTS[module])]


def _answers(family: int, protocol: int, size: int) -> bool:
    body = struct.pack("=BB", family, protocol).ljust(size, b"\0")
    flags = _NLM_F_REQUEST | _NLM_F_DUMP
    head = struct.pack("=LHHLL", 16 + len(body), _SOCK_DIAG_BY_FAMILY, flags, 1, 0)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_SOCK_DIAG) as channel:
        channel.settimeout(5)
        channel.send(head + body)
        answer = channel.recv(1 << 16)
    _, kind, *_ = struct.unpack_from("=LHHLL", answer)
    if kind != _NLMSG_ERROR:
        return True
    (code,) = struct.unpack_from("=i", answer, 16)
    return -code not in (errno.ENOENT, errno.EPROTONOSUPPORT)
