"""Debian's docker-registry as a process of the test's own, and a small client that pushes."""

import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from .images import Stored, digest

USER, PASSWORD = "puller", "correct horse"
_HTPASSWD = f"{USER}:$2b$04$abcdefghijklmnopqrstuujydOTSfIH/d5oUHpsygqV5X9xJLQc6e\n"

_CONFIG = """version: 0.1
log: {{level: info}}
storage:
  filesystem: {{rootdirectory: {root}/storage}}
http: {{addr: "127.0.0.1:0"}}
{auth}
"""


@dataclass(frozen=True)
class Registry:
    host: str
    log: Path

    def requests(self, method: str, part: str) -> int:
        """How many requests it has logged whose path has `part`."""
        lines = self.log.read_text(errors="replace").splitlines()
        return sum(f'"{method} ' in line and part in line for line in lines)


@contextmanager
def running(root: Path, auth: str = "") -> Iterator[Registry]:
    """A registry that keeps everything below `root`, on a free port of loopback."""
    root.mkdir(parents=True, exist_ok=True)
    program = shutil.which("docker-registry")
    assert program is not None
    config, log = root / "config.yml", root / "log"
    config.write_text(_CONFIG.format(root=root, auth=auth))
    with log.open("wb") as output:
        process = subprocess.Popen(
            [program, "serve", str(config)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={},
        )
    try:
        yield Registry(_listening(process, log), log)
    finally:
        process.terminate()
        process.wait()


def _listening(process: "subprocess.Popen[bytes]", log: Path) -> str:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        for line in log.read_text(errors="replace").splitlines():
            if "listening on 127.0.0.1:" in line:
                port = line.split("listening on 127.0.0.1:")[1].split('"')[0]
                return f"127.0.0.1:{port}"
        assert process.poll() is None, log.read_text()
        time.sleep(0.02)
    raise AssertionError(f"never listened: {log.read_text()}")


def htpasswd(root: Path) -> str:
    """Configuration of Basic authentication for USER and PASSWORD."""
    root.mkdir(parents=True, exist_ok=True)
    path = root / "htpasswd"
    path.write_text(_HTPASSWD)
    return f"auth: {{htpasswd: {{realm: here, path: {path}}}}}"


async def push(
    host: str, repository: str, tag: str, stored: Stored, headers: dict[str, str] | None = None
) -> None:
    """Put an image and all it needs into a registry."""
    base = f"http://{host}/v2/{repository}"
    async with aiohttp.ClientSession(headers=headers, raise_for_status=True) as session:
        await _push(session, base, tag, stored)


async def _push(session: aiohttp.ClientSession, base: str, tag: str, stored: Stored) -> None:
    for blob in stored.blobs:
        async with session.post(f"{base}/blobs/uploads/") as started:
            place = started.headers["Location"]
        async with session.put(place + f"&digest={digest(blob)}", data=blob):
            pass
    for inner in stored.inner:
        await _push(session, base, inner.digest, inner)
    kind = {"Content-Type": stored.media_type}
    async with session.put(f"{base}/manifests/{tag}", data=stored.content, headers=kind):
        pass
