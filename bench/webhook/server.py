"""`python -m bench.webhook.server SIDE DIRECTORY`: one side, over TLS on a port of loopback.

`echo` is the bar: aiohttp reads JSON and gives it back. `source` and `placeholder` are chrek's
webhook as it runs in a cluster (parsing, deciding, patching, metrics, one log line a pod), with a
memory that holds a claim and, for `placeholder`, a checkpoint that is Ready.
"""

import asyncio
import contextlib
import logging
import os
import ssl
import sys
from pathlib import Path

from aiohttp import web

from bench.webhook import bodies
from chrek import logs
from webhook.admission.known import Checkpoint, Claim, Known, Options
from webhook.admission.review import review
from webhook.admit import Admission, NoImages
from webhook.process import settle
from webhook.server.app import State, admission_app, runner
from webhook.server.metrics import Metrics

_OPTIONS = Options(init_image="docker.io/chrek/init:0.1.0")


class _Memory:
    """What the watches would have filled."""

    def __init__(self, known: Known) -> None:
        self._known = known

    def covers(self, namespace: str) -> bool:
        return namespace == bodies.NAMESPACE

    def known(self, _: str) -> Known:
        return self._known

    async def claim(self, _namespace: str, _name: str) -> Claim | None:
        return None


def _known(side: str) -> Known:
    claims = {bodies.CLAIM: Claim(bodies.CLAIM, "Bound", frozenset({"ReadWriteMany"}))}
    source = Known(bodies.NAMESPACE, claims=claims)
    if side == "source":
        return source
    found = review(bodies.pod(annotated=True), source, _OPTIONS).pod["metadata"]["annotations"]
    identity = found["chrek.io/checkpoint-id"]
    checkpoint = Checkpoint(identity, usable=True, identity=identity, cold_start_seconds=61.0)
    return Known(bodies.NAMESPACE, claims=claims, checkpoints={identity: checkpoint})


def _app(side: str) -> web.Application:
    if side == "echo":
        app = web.Application(client_max_size=6 << 20)
        app.router.add_post("/mutate", _echo)
        return app
    settle()
    admission = Admission(_Memory(_known(side)), NoImages(), _OPTIONS)
    return admission_app(admission, State(list), Metrics())


async def _echo(request: web.Request) -> web.Response:
    return web.json_response(await request.json())


async def _serve(side: str, directory: Path) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(directory / "tls.crt", directory / "tls.key")
    app = _app(side)
    served = web.AppRunner(app, access_log=None) if side == "echo" else runner(app)
    await served.setup()
    site = web.TCPSite(served, "127.0.0.1", 0, ssl_context=context)
    await site.start()
    print(served.addresses[0][1], flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    logs.set_up(logging.INFO)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(sys.argv[1], Path(sys.argv[2])))
