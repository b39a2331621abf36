"""A directory of the host, attached in the agent's own mount namespace for as long as it is used.

A mount of the agent's own outlives neither the agent nor the block, and gives the volume's files
rules that the volume cannot change: no link in it is followed, nothing in it is run or a device.
"""

import asyncio
import errno
import logging
import os
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from agent.claims import held, host
from agent.kernel import calls, tree
from chrek import logs
from chrek.errors import ClaimUnreachableError

CLAIMS = Path("/run/chrek/claims")
HOST_PID = 1
"""Of the node, whose PID namespace the agent shares: what this one sees the kubelet sees."""

_TRIES = 10
_RULES = (
    calls.MOUNT_ATTR_NOSYMFOLLOW
    | calls.MOUNT_ATTR_NOSUID
    | calls.MOUNT_ATTR_NODEV
    | calls.MOUNT_ATTR_NOEXEC
)
_log = logging.getLogger(__name__)


@asynccontextmanager
async def attached(
    host_path: str, *, read_only: bool, below: Path = CLAIMS, host_pid: int = HOST_PID
) -> AsyncIterator[Path]:
    """The host's directory `host_path`; raises ClaimUnreachableError.

    After the block nothing of this process keeps the volume busy: what still works on it, having
    been given up, gets EBADF.
    """
    detached = await host.clone(host_path, host_pid)
    try:
        place = below / uuid.uuid4().hex
        mount = _attach(detached, place, host_path, read_only=read_only)
    finally:
        os.close(detached)
    try:
        yield place
    finally:
        # The last one out writes what is dirty: that may take long, and must not block the loop.
        await asyncio.shield(asyncio.to_thread(_detach, place, mount, host_path))


def tidy(below: Path = CLAIMS) -> None:
    """Detach what a killed agent left. Its mounts ended with its container: mostly nothing."""
    with suppress(FileNotFoundError):
        for place in below.iterdir():
            with suppress(OSError):
                while True:  # until nothing is mounted there
                    calls.umount2(str(place), calls.MNT_DETACH | calls.UMOUNT_NOFOLLOW)
            with suppress(OSError):
                place.rmdir()


def _attach(detached: int, place: Path, host_path: str, *, read_only: bool) -> int:
    rules = _RULES | (calls.MOUNT_ATTR_RDONLY if read_only else 0)
    place.mkdir(parents=True, mode=0o700)
    point = -1
    try:
        calls.mount_setattr(detached, rules, calls.MS_PRIVATE)
        point = os.open(place, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        calls.move_mount(detached, point)
        return held.mount_id(detached)
    except OSError as error:
        with suppress(OSError):
            place.rmdir()
        raise ClaimUnreachableError(
            f"{host_path} could not be attached: {error}", hint="It takes Linux 5.14 or newer"
        ) from error
    finally:
        if point >= 0:
            os.close(point)


def _detach(place: Path, mount: int, host_path: str) -> None:
    for _ in range(_TRIES):
        try:
            calls.umount2(str(place), calls.UMOUNT_NOFOLLOW)
            break
        except OSError as error:
            if error.errno != errno.EBUSY:
                logs.event(_log, logging.WARNING, "not detached", path=host_path, error=error)
                break
        if revoked := held.revoke(mount):
            logs.event(_log, logging.WARNING, "still used", path=host_path, files=revoked[:10])
    else:
        # Busy with what is no descriptor, as a mapping: it is out of reach at least.
        with suppress(OSError):
            calls.umount2(str(place), calls.MNT_DETACH | calls.UMOUNT_NOFOLLOW)
    # Whoever was still at work here may have made files in the directory below the mount.
    with suppress(OSError):
        place.rmdir()
        return
    tree.remove(place)
