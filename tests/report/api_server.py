"""A bare Kubernetes API: kube-apiserver and etcd on loopback, without a node or a controller."""

import os
import shutil
import socket
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from kubernetes_asyncio.client import ApiClient, Configuration

from chrek.kube.api import ClusterAPI

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "chrek"
KUBE_APISERVER = CACHE / "kubernetes" / "bin" / "kube-apiserver"
MISSING = "needs kube-apiserver and etcd: `make test-cluster` builds and installs them"
DEADLINE_SECONDS = 120.0
"""Only ends a test that hangs."""

_TOKEN = "token-of-the-tests"


def is_there() -> bool:
    """Whether it can be started on this machine."""
    return KUBE_APISERVER.exists() and bool(shutil.which("etcd") and shutil.which("setpriv"))


class APIServer:
    """Started, killed and started again at will; what was stored stays."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._etcd_port, self._peer_port, self.port = _free_ports(3)
        self._etcd: subprocess.Popen[bytes] | None = None
        self._server: subprocess.Popen[bytes] | None = None
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        (home / "accounts.key").write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.TraditionalOpenSSL,
                serialization.NoEncryption(),
            )
        )
        (home / "tokens.csv").write_text(f'{_TOKEN},tester,tester,"system:masters"\n')

    def start(self) -> None:
        """By the main thread: the kernel ends it with the thread that started it."""
        etcd = f"http://127.0.0.1:{self._etcd_port}"
        if self._etcd is None:
            self._etcd = self._run(
                "etcd",
                f"--data-dir={self._home}/etcd",
                f"--listen-client-urls={etcd}",
                f"--advertise-client-urls={etcd}",
                f"--listen-peer-urls=http://127.0.0.1:{self._peer_port}",
                "--logger=zap",
            )
        self._server = self._run(
            str(KUBE_APISERVER),
            f"--etcd-servers={etcd}",
            "--bind-address=127.0.0.1",
            "--advertise-address=127.0.0.1",
            f"--secure-port={self.port}",
            f"--cert-dir={self._home}/certs",
            "--service-cluster-ip-range=10.0.0.0/24",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={self._home}/accounts.key",
            f"--service-account-signing-key-file={self._home}/accounts.key",
            f"--token-auth-file={self._home}/tokens.csv",
            "--authorization-mode=RBAC",
            # No controller makes the accounts that it would wait for.
            "--disable-admission-plugins=ServiceAccount",
            "--endpoint-reconciler-type=none",
        )

    def wait(self) -> None:
        """Until it answers."""
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not self._is_ready():
            assert self._server is not None
            assert self._server.poll() is None, self.log()
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.1)

    def kill(self) -> None:
        """As a power cut would; etcd stays."""
        if self._server is not None:
            self._server.kill()
            self._server.wait()
            self._server = None

    def stop(self) -> None:
        """For good."""
        self.kill()
        if self._etcd is not None:
            self._etcd.kill()
            self._etcd.wait()

    @asynccontextmanager
    async def client(self) -> AsyncIterator[ClusterAPI]:
        """A client with all rights."""
        configuration = Configuration(host=f"https://127.0.0.1:{self.port}")
        configuration.verify_ssl = False
        configuration.api_key = {"BearerToken": f"Bearer {_TOKEN}"}
        async with ApiClient(configuration) as client:
            yield ClusterAPI(client)

    def log(self) -> str:
        """The ends of both logs."""
        logs = sorted(self._home.glob("*.log"))
        return "\n".join(f"{path}:\n{path.read_text()[-2000:]}" for path in logs)

    def _run(self, *command: str) -> subprocess.Popen[bytes]:
        # A test run that is killed leaves nothing behind.
        with (self._home / f"{Path(command[0]).name}.log").open("ab") as log:
            return subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self._home,
            )

    def _is_ready(self) -> bool:
        context = ssl._create_unverified_context()
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
        )
        asked = urllib.request.Request(f"https://127.0.0.1:{self.port}/readyz")
        asked.add_header("Authorization", f"Bearer {_TOKEN}")
        try:
            with opener.open(asked, timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:  # an answer that is no good is one too
            return False


def _free_ports(count: int) -> list[int]:
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in held]
    for each in held:
        each.close()
    return ports
