"""The HTTP side: /mutate, /healthz, /readyz, /metrics."""

import asyncio
import json
import time
from collections.abc import Callable
from typing import Final

from aiohttp import web

from chrek.kube.metrics import CONTENT_TYPE
from webhook.admit import Admission
from webhook.server import wire
from webhook.server.metrics import Metrics

MAX_BYTES: Final = 6 << 20
"""The API server takes objects of 3 MiB; a review holds one, or two."""

_BODY_SECONDS: Final = 10.0
_KEPT_SECONDS: Final = 120.0
"""Longer than the API server keeps an idle connection (90 s): it must be the one to close it."""
_SHUTDOWN_SECONDS: Final = 10.0
_UNANSWERABLE: Final = "invalid"


class State:
    """Whether this process should be asked. problems: why not, one sentence each; draining: it is
    about to end, and closes connections as it answers."""

    def __init__(self, problems: Callable[[], list[str]]) -> None:
        self.problems = problems
        self.draining = False


def runner(app: web.Application, shutdown_seconds: float = _SHUTDOWN_SECONDS) -> web.AppRunner:
    """As these apps are served. Bodies are not decompressed: no API server compresses, and one
    megabyte of gzip would hold up everybody for a second.
    """
    return web.AppRunner(
        app,
        access_log=None,
        auto_decompress=False,
        keepalive_timeout=_KEPT_SECONDS,
        shutdown_timeout=shutdown_seconds,
    )


def admission_app(admission: Admission, state: State, metrics: Metrics) -> web.Application:
    """What is served over TLS."""

    async def mutate(request: web.Request) -> web.Response:
        started = time.perf_counter()
        outcome, response = await _mutate(request, admission)
        if state.draining:
            response.force_close()
        metrics.answered(outcome, time.perf_counter() - started)
        return response

    app = status_app(state, metrics)
    app.router.add_post("/mutate", mutate)
    return app


def status_app(state: State, metrics: Metrics) -> web.Application:
    """What is served without TLS, too: it must answer before there is a certificate."""

    async def healthz(_: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def readyz(_: web.Request) -> web.Response:
        problems = ["it is about to end"] if state.draining else state.problems()
        if problems:
            return web.Response(status=503, text="".join(f"not ready: {p}\n" for p in problems))
        return web.Response(text="ok\n")

    async def page(_: web.Request) -> web.Response:
        return web.Response(body=metrics.text(), headers={"Content-Type": CONTENT_TYPE})

    app = web.Application(client_max_size=MAX_BYTES)
    app.router.add_get("/healthz", healthz)
    app.router.add_get("/readyz", readyz)
    app.router.add_get("/metrics", page)
    return app


async def _mutate(request: web.Request, admission: Admission) -> tuple[str, web.Response]:
    try:
        async with asyncio.timeout(_BODY_SECONDS):
            body = await request.read()
        question = wire.question(body)
    except TimeoutError:
        return _UNANSWERABLE, _refusal(408, f"the body did not come within {_BODY_SECONDS:.0f} s")
    except (web.RequestPayloadError, ConnectionError) as error:
        return _UNANSWERABLE, _refusal(400, f"the body cannot be read: {error}")
    except web.HTTPRequestEntityTooLarge:
        return _UNANSWERABLE, _refusal(413, f"the body is larger than {MAX_BYTES >> 20} MiB")
    except wire.NotAReviewError as error:
        return _UNANSWERABLE, _refusal(400, error.message)
    admitted = await admission.answer(question)
    answer = wire.answer(question.uid, admitted.operations, admitted.warnings)
    return admitted.outcome, web.Response(body=answer, content_type="application/json")


def _refusal(status: int, why: str) -> web.Response:
    response = web.Response(
        status=status, body=json.dumps({"error": why}).encode(), content_type="application/json"
    )
    response.force_close()
    return response
