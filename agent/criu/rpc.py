"""One dump or restore over CRIU's RPC (`criu swrk`), with its notifications awaited.

Protocol: https://criu.org/RPC; one protobuf message per SEQPACKET packet.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Any

from agent.criu.bundle import Bundle, rpc_messages
from chrek.errors import ChrekError

Notified = Callable[[str], Awaitable[None]]
"""Called with the name of each point CRIU reaches (`pre-resume`, ...). Raising stops CRIU."""

_MESSAGE_BYTES = 1 << 20
_GHOST_BYTES = 512 << 20
_LOG_LEVEL = 3
_LOOK_SECONDS = 1.0
_STILL_SECONDS = 30.0
_IGNORE_CGROUPS = 0


class CRIUStillError(Exception):
    """CRIU has done nothing at all for so long that it never will."""


class CRIUFailedError(Exception):
    """CRIU said no. `message` is the first error it logged; the log tells the rest."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


def options(bundle: Bundle, *, images_fd: int, work_fd: int, log_name: str) -> Any:
    """What a dump and a restore have in common. Descriptor numbers are CRIU's own."""
    messages = rpc_messages(bundle)
    chosen = messages.criu_opts()
    chosen.images_dir_fd = images_fd
    chosen.work_dir_fd = work_fd
    chosen.log_level = _LOG_LEVEL
    chosen.log_file = log_name
    chosen.notify_scripts = True
    chosen.tcp_close = True
    chosen.tcp_skip_in_flight = True
    chosen.file_locks = True
    chosen.link_remap = True
    chosen.ghost_limit = _GHOST_BYTES
    chosen.manage_cgroups = True
    chosen.manage_cgroups_mode = _IGNORE_CGROUPS
    chosen.network_lock = messages.SKIP
    return chosen


async def dump(
    bundle: Bundle,
    rpc: socket.socket,
    chosen: Any,
    notified: Notified,
    progress: Callable[[], object],
) -> None:
    """Dump; returns once the tree runs again. Raises CRIUFailedError; CRIUStillError when what
    `progress` tells has long been the same."""
    await _converse(bundle, rpc, "DUMP", chosen, notified, progress=progress)


async def restore(bundle: Bundle, rpc: socket.socket, chosen: Any, notified: Notified) -> int:
    """Restore; the root task's PID as CRIU's PID namespace counts. Raises CRIUFailedError."""
    response = await _converse(bundle, rpc, "RESTORE", chosen, notified)
    return int(response.restore.pid)


async def _converse(
    bundle: Bundle,
    rpc: socket.socket,
    kind: str,
    chosen: Any,
    notified: Notified,
    *,
    progress: Callable[[], object] | None = None,
) -> Any:
    messages = rpc_messages(bundle)
    request = messages.criu_req(type=getattr(messages, kind), opts=chosen)
    loop = asyncio.get_running_loop()
    stopped: ChrekError | None = None
    await _send(loop, rpc, request)
    while True:
        try:
            packet = await _received(loop, rpc, progress)
        except OSError as error:
            raise CRIUFailedError(f"CRIU's socket broke: {error}") from error
        if not packet:
            raise stopped or CRIUFailedError("CRIU ended without an answer")
        response = messages.criu_resp.FromString(packet)
        if response.type != messages.NOTIFY:
            break
        try:
            await notified(response.notify.script)
        except ChrekError as error:
            stopped = error
        answer = messages.criu_req(type=messages.NOTIFY, notify_success=stopped is None)
        await _send(loop, rpc, answer)
    if stopped is not None:
        raise stopped
    if not response.success:
        raise CRIUFailedError(response.cr_errmsg.strip() or f"error {response.cr_errno}")
    return response


async def _received(
    loop: asyncio.AbstractEventLoop, rpc: socket.socket, progress: Callable[[], object] | None
) -> bytes:
    """The next packet, for as long as CRIU gets on."""
    receiving = asyncio.ensure_future(loop.sock_recv(rpc, _MESSAGE_BYTES))
    try:
        since, before = loop.time(), None
        while progress is not None:
            if (await asyncio.wait({receiving}, timeout=_LOOK_SECONDS))[0]:
                break
            now = progress()
            if now != before:
                since, before = loop.time(), now
            elif loop.time() - since > _STILL_SECONDS:
                raise CRIUStillError
        return await receiving
    finally:
        receiving.cancel()


async def _send(loop: asyncio.AbstractEventLoop, rpc: socket.socket, message: Any) -> None:
    try:
        await loop.sock_sendall(rpc, message.SerializeToString())
    except OSError as error:
        raise CRIUFailedError(f"CRIU does not listen: {error}") from error
