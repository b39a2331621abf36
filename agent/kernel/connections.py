"""TCP connections of a network namespace, from /proc/PID/net/tcp (proc(5))."""

from pathlib import Path
from typing import Final

_ESTABLISHED: Final = "01"
_LISTEN: Final = "0A"
_LOOPBACK: Final = ("0100007F", "00000000000000000000000001000000")


def inbound(pid: int) -> int:
    """How many clients from elsewhere are connected to ports that somebody listens on there."""
    found = [row for family in ("tcp", "tcp6") for row in _rows(pid, family)]
    listening = {port for _, port, _, state in found if state == _LISTEN}
    return sum(
        1
        for _, port, client, state in found
        if state == _ESTABLISHED and port in listening and client not in _LOOPBACK
    )


def _rows(pid: int, family: str) -> list[tuple[str, str, str, str]]:
    """Local address and port, the other side's address, state; hexadecimal, as the kernel has
    them."""
    try:
        lines = Path(f"/proc/{pid}/net/{family}").read_text().splitlines()[1:]
    except (FileNotFoundError, ProcessLookupError):
        return []  # no IPv6, or the process has ended
    rows = []
    for line in lines:
        _, local, remote, state, *_ = line.split()
        address, _, port = local.partition(":")
        rows.append((address, port, remote.partition(":")[0], state))
    return rows
