"""Capabilities as bits, and their names for people (capabilities(7))."""

from collections.abc import Iterable
from typing import Final

_NAMES: Final = (
    "CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID",
    "SETPCAP", "LINUX_IMMUTABLE", "NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW",
    "IPC_LOCK", "IPC_OWNER", "SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT", "SYS_PTRACE", "SYS_PACCT",
    "SYS_ADMIN", "SYS_BOOT", "SYS_NICE", "SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD",
    "LEASE", "AUDIT_WRITE", "AUDIT_CONTROL", "SETFCAP", "MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG",
    "WAKE_ALARM", "BLOCK_SUSPEND", "AUDIT_READ", "PERFMON", "BPF", "CHECKPOINT_RESTORE",
)  # fmt: skip


def bit(name: str) -> int:
    """The bit of a capability, `CHOWN` say."""
    return 1 << _NAMES.index(name)


CHOWN: Final = bit("CHOWN")
MKNOD: Final = bit("MKNOD")
NET_ADMIN: Final = bit("NET_ADMIN")
NET_RAW: Final = bit("NET_RAW")
SETGID: Final = bit("SETGID")
SETPCAP: Final = bit("SETPCAP")
SETUID: Final = bit("SETUID")
SYS_ADMIN: Final = bit("SYS_ADMIN")
SYS_NICE: Final = bit("SYS_NICE")
SYS_RESOURCE: Final = bit("SYS_RESOURCE")


def told(capabilities: int) -> str:
    """The names in a set; a number for what has no name yet."""
    return ", ".join(_each(capabilities)) or "none"


def _each(capabilities: int) -> Iterable[str]:
    for number in range(capabilities.bit_length()):
        if capabilities >> number & 1:
            yield f"CAP_{_NAMES[number]}" if number < len(_NAMES) else f"capability {number}"
