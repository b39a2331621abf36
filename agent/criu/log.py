"""The lines of CRIU's log that tell a person why it failed."""

import re
import shutil
from pathlib import Path

_TAIL_BYTES = 256 << 10
_ERROR = re.compile(r"\bError\b")
_CURES = (
    (re.compile(r"[Cc]an't fork for \d+: File exists"), "a PID of the image is taken"),
    (re.compile(r"inet: Can't bind|Address already in use"), "an address or port is taken"),
    (re.compile(r"bad size|File .* has bad"), "a file differs from the one at the capture"),
    (re.compile(r"build-id"), "a program or library differs from the one at the capture"),
    (re.compile(r"io_uring"), "CRIU cannot dump io_uring"),
    (
        re.compile(r"External socket is used"),
        "a Unix socket is connected to a process outside of the container",
    ),
    (re.compile(r"The socket has data to read"), "a netlink socket has messages that wait"),
    (re.compile(r"Can't get rlimit"), "CAP_SYS_RESOURCE is missing on this machine"),
    (re.compile(r"Can't get 1:16 opt"), "this kernel needs CRIU 4.2 or newer"),
)
# Said by every successful run on machines without these rights.
_HARMLESS = re.compile(r"tun: Unable to create tun|Can't setup RLIMIT_NOFILE")


def errors(log: Path, most: int = 6) -> list[str]:
    """The last error lines of `log`, at most `most`, harmless ones left out."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - _TAIL_BYTES))
            text = file.read().decode(errors="replace")
    except OSError:
        return []
    lines = [line for line in text.splitlines() if _ERROR.search(line)]
    return [line for line in lines if not _HARMLESS.search(line)][-most:]


def told(message: str, log: Path) -> str:
    """CRIU's failure for a person: what it means where known, and the log's own words."""
    lines = errors(log)
    everything = "\n".join([message, *lines])
    meaning = next((text for pattern, text in _CURES if pattern.search(everything)), "")
    first = re.sub(r"^\([0-9.]+\)\s*(\d+: )?", "", lines[0]) if lines else message
    return f"{meaning} ({first})" if meaning else first


def keep(log: Path, place: Path, shown: Path | None = None) -> str:
    """Copy the log of a failed run to `place`, which a person knows as `shown`; a hint that says
    where, empty when it fails."""
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(log, place)
    except OSError:
        return ""  # the error itself was quoted already
    return f"CRIU's log: {shown or place}"
