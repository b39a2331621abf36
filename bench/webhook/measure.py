"""Load on every side in turn, and what came of it."""

import base64
import json
import ssl
import urllib.request
from pathlib import Path
from typing import Any, Final

from bench import quiet
from bench.webhook import bodies
from bench.webhook.load import Run, Server, load

SIDES: Final = ("echo", "source", "placeholder", "not annotated")
BUSY: Final = 16
"""Connections at once, enough to keep one server's core busy."""
ALONE: Final = 1


class Sides:
    """All sides of one run, each with the body that it gets."""

    def __init__(self, servers: dict[str, Server], work: Path) -> None:
        self._servers = servers
        self._bodies = {True: work / "annotated.json", False: work / "plain.json"}
        for annotated, path in self._bodies.items():
            path.write_bytes(bodies.review(annotated=annotated))

    def of(self, side: str) -> tuple[Server, Path]:
        """`not annotated` is a pod that chrek has nothing to do with, sent to the webhook."""
        annotated = side != "not annotated"
        return self._servers[side if annotated else "source"], self._bodies[annotated]

    def patch_bytes(self, side: str) -> int:
        server, body = self.of(side)
        request = urllib.request.Request(
            f"https://127.0.0.1:{server.port}/mutate", body.read_bytes(),
            {"Content-Type": "application/json"},
        )  # fmt: skip
        context = ssl._create_unverified_context()
        with urllib.request.urlopen(request, context=context, timeout=10) as answer:
            response = json.load(answer)["response"]
        return len(base64.b64decode(response.get("patch", "")))

    def run(self, side: str, connections: int, seconds: int) -> Run:
        quiet.wait()
        server, body = self.of(side)
        return load(server, body, connections=connections, seconds=seconds)


def measured(sides: Sides, rounds: int, seconds: int) -> dict[str, dict[str, list[Run]]]:
    """side -> busy or alone -> runs. Sides alternate, and every round begins with another."""
    found: dict[str, dict[str, list[Run]]] = {side: {"busy": [], "alone": []} for side in SIDES}
    for side in SIDES:
        sides.run(side, BUSY, 1)
    for number in range(rounds):
        for offset in range(len(SIDES)):
            side = SIDES[(number + offset) % len(SIDES)]
            found[side]["busy"].append(sides.run(side, BUSY, seconds))
            found[side]["alone"].append(sides.run(side, ALONE, 1))
    return found


def soaked(sides: Sides, requests: int, seconds: int) -> dict[str, Any]:
    """Resident memory of the webhook over so many annotated pods, from the first thousands on."""
    server, _ = sides.of("placeholder")
    sent, samples = 0, [server.resident_bytes]
    while sent < requests:
        sent += sides.run("placeholder", BUSY, seconds).requests
        samples.append(server.resident_bytes)
    return {"requests": sent, "resident_bytes": samples}
