"""What the agent knows of itself and its node, as /healthz, /readyz and /metrics show it."""

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import msgspec
from aiohttp import web

import chrek
from agent.machine.check import Answer
from agent.metrics import Metrics
from agent.node.flags import Flags
from chrek.errors import ChrekError
from chrek.kube.metrics import CONTENT_TYPE

_LAST_REQUESTS_SECONDS = 2.0


class PortError(ChrekError):
    """The status port cannot be served."""

    reason = "PortTaken"


@dataclass(slots=True)
class Status:
    """profile_problem: why the seccomp profile is not in place; empty when it is. work_problem:
    why pods are not captured and restored; empty when they are. answers: none until the node was
    asked. A `no` among them does not make the agent unready: a DaemonSet that waits for every
    node would never be rolled out.
    """

    flags: Flags
    profile_problem: str = "not installed yet"
    work_problem: str = "not at work yet"
    answers: list[Answer] = field(default_factory=list)
    ending: bool = False

    @property
    def ready(self) -> bool:
        """Whether pods that name the profile can start on this node, and are taken care of."""
        return not (self.profile_problem or self.work_problem or self.ending)

    def body(self) -> bytes:
        """All of it as JSON."""
        return msgspec.json.encode(
            {
                "ready": self.ready,
                "version": chrek.__version__,
                "node": self.flags.node_name,
                "watchNamespace": self.flags.watch_namespace,
                "work": self.work_problem or "at work",
                "seccompProfile": self.profile_problem or "installed",
                "answers": self.answers,
            }
        )


@asynccontextmanager
async def served(status: Status, metrics: Metrics) -> AsyncIterator[int]:
    """Serve both meanwhile; gives the port. Raises PortError."""

    async def healthz(_: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def readyz(_: web.Request) -> web.Response:
        return web.Response(
            status=200 if status.ready else 503,
            body=status.body(),
            content_type="application/json",
        )

    async def page(_: web.Request) -> web.Response:
        return web.Response(body=metrics.text(), headers={"Content-Type": CONTENT_TYPE})

    application = web.Application()
    application.router.add_get("/healthz", healthz)
    application.router.add_get("/readyz", readyz)
    application.router.add_get("/metrics", page)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=_LAST_REQUESTS_SECONDS)
    await runner.setup()
    try:
        listening = _listen(status.flags.status_port)
        await web.SockSite(runner, listening).start()
        yield listening.getsockname()[1]
    finally:
        await runner.cleanup()


def _listen(port: int) -> socket.socket:
    """For IPv6 and IPv4, or for IPv4 where the kernel has no other."""
    try:
        try:
            return socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True)
        except OSError:
            return socket.create_server(("", port))
    except OSError as error:
        raise PortError(f"port {port} cannot be served: {error.strerror}") from error
