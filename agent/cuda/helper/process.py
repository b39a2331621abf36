"""One helper process as the agent holds it: started, asked, killed, seen to end."""

import asyncio
import contextlib
import socket
from collections.abc import Sequence

import msgspec

from agent.cuda.errors import HelperError
from agent.cuda.helper import wire
from agent.cuda.helper.wire import Answer, Request
from agent.kernel import children


class HelperProcess:
    """A process that serves calls until it is killed, or dies. Made by started().

    waiting: number of a call -> its answer to come.
    """

    def __init__(self, process: asyncio.subprocess.Process, channel: socket.socket) -> None:
        self.waiting: dict[int, asyncio.Future[Answer]] = {}
        self._process = process
        self._channel = channel
        self._reader = asyncio.create_task(self._read())

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def lives(self) -> bool:
        """Whether it can be asked."""
        return not self._reader.done()

    def send(self, request: Request) -> None:
        """Ask; raises HelperError where it is gone."""
        try:
            wire.send(self._channel, request)
        except OSError as error:
            raise HelperError(f"the driver's helper broke off: {error}") from error

    def kill(self, why: str) -> None:
        """End it, and every call under way with it."""
        self._reader.cancel()
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        self._fail(why)

    async def ended(self) -> None:
        """Wait for its end, which may take long while the driver has it in its hands."""
        # Only once nobody listens: its number may be another socket's at once.
        await asyncio.gather(self._reader, return_exceptions=True)
        self._channel.close()
        await self._process.wait()

    async def _read(self) -> None:
        loop = asyncio.get_running_loop()
        decoder = msgspec.json.Decoder(Answer)
        with contextlib.suppress(OSError):
            while packet := await loop.sock_recv(self._channel, wire.PACKET_BYTES):
                answer = decoder.decode(packet)
                waiting = self.waiting.get(answer.number)
                if waiting is not None and not waiting.done():
                    waiting.set_result(answer)
        self._fail("it died")

    def _fail(self, why: str) -> None:
        for waiting in self.waiting.values():
            if not waiting.done():
                waiting.set_exception(HelperError(f"the driver's helper was ended: {why}"))


async def started(command: Sequence[str]) -> HelperProcess:
    """Run `command` with the number of its socket as last argument; raises HelperError."""
    try:
        process, ours = await children.command(command)
    except OSError as error:
        raise HelperError(f"the driver's helper does not start: {error}") from error
    ours.setblocking(False)
    return HelperProcess(process, ours)
