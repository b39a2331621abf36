"""Which parts of the kernel CRIU can ask about sockets and filters. Asking makes the kernel load
them, where it may: it runs its modprobe on the machine, whoever asks."""

import errno
import socket
import struct
from dataclasses import dataclass
from typing import Final

_NETLINK_SOCK_DIAG = 4
_NETLINK_NETFILTER = 12
_SOCK_DIAG_BY_FAMILY = 20
_NFT_GET_GENERATION = 10 << 8 | 16
_NLM_F_REQUEST, _NLM_F_DUMP = 0x1, 0x300
_NLMSG_ERROR, _NLMSG_DONE = 2, 3
_UNKNOWN: Final = (errno.ENOENT, errno.EPROTONOSUPPORT)
_PATIENCE_SECONDS: Final = 5


@dataclass(frozen=True, slots=True)
class _Question:
    """A netlink message. unknown: the errors that say that nobody is there to answer it."""

    protocol: int
    kind: int
    body: bytes
    flags: int = _NLM_F_REQUEST | _NLM_F_DUMP
    unknown: tuple[int, ...] = _UNKNOWN


def _sockets(family: int, protocol: int, size: int) -> _Question:
    body = struct.pack("=BB", family, protocol).ljust(size, b"\0")
    return _Question(_NETLINK_SOCK_DIAG, _SOCK_DIAG_BY_FAMILY, body)


_QUESTIONS: Final = {
    "tcp_diag": _sockets(socket.AF_INET, socket.IPPROTO_TCP, 56),
    "udp_diag": _sockets(socket.AF_INET, socket.IPPROTO_UDP, 56),
    "unix_diag": _sockets(socket.AF_UNIX, 0, 24),
    "netlink_diag": _sockets(socket.AF_NETLINK, 255, 20),
    "af_packet_diag": _sockets(socket.AF_PACKET, 0, 20),
    # CRIU's nftables library ends the whole program where there is no netfilter to talk to.
    "nf_tables": _Question(
        _NETLINK_NETFILTER, _NFT_GET_GENERATION, bytes(4), _NLM_F_REQUEST, (errno.EINVAL, *_UNKNOWN)
    ),
}
MODULES: Final = tuple(_QUESTIONS)
"""Named as the modules are where the kernel has these parts as modules."""


def missing_modules() -> list[str]:
    """Parts that this kernel neither has nor loads by itself."""
    return [module for module, question in _QUESTIONS.items() if not _answered(question)]


def _answered(question: _Question) -> bool:
    size = 16 + len(question.body)
    head = struct.pack("=LHHLL", size, question.kind, question.flags, 1, 0)
    try:
        channel = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, question.protocol)
    except OSError as error:
        if error.errno in (errno.EPROTONOSUPPORT, errno.EAFNOSUPPORT):
            return False
        raise
    with channel:
        channel.settimeout(_PATIENCE_SECONDS)
        channel.send(head + question.body)
        answer = channel.recv(1 << 16)
    _, kind, *_ = struct.unpack_from("=LHHLL", answer)
    # A list that could not be begun ends at once, with an error in its end.
    if kind not in (_NLMSG_ERROR, _NLMSG_DONE):
        return True
    (code,) = struct.unpack_from("=i", answer, 16)
    return -code not in question.unknown
