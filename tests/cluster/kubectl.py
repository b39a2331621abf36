"""Real kubectl and helm against one cluster, and what their answers say."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cached_property
from http.client import HTTPException
from pathlib import Path
from typing import Any

from . import direct
from .layout import PROGRAMS

OK, NOT_FOUND = 200, 404


@dataclass(frozen=True)
class Done:
    """How a command ended. `err` has the warnings of an admission."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@dataclass(frozen=True)
class Kubectl:
    """kubectl and helm for the cluster of a kubeconfig; `own` if it is the one of this folder."""

    kubeconfig: Path
    own: bool = True

    def kubectl(
        self,
        *arguments: str,
        input: str | object | None = None,  # noqa: A002 (subprocess's name)
        code: int | None = 0,
        timeout: float = 120,
    ) -> Done:
        """Run kubectl, which must exit with `code`; an input that is no text goes in as JSON."""
        return self._run("kubectl", arguments, input, code, timeout)

    def helm(self, *arguments: str, code: int | None = 0, timeout: float = 300) -> Done:
        """Run helm, which must exit with `code`."""
        return self._run("helm", arguments, None, code, timeout)

    def get(self, namespace: str, *what: str) -> Any:
        """`kubectl get WHAT` as JSON."""
        found = self.find(namespace, *what)
        assert found is not None, f"{' '.join(what)} of {namespace} is not there"
        return found

    def find(self, namespace: str, *what: str) -> Any:
        """`kubectl get WHAT` as JSON, None where it is not there."""
        if self.own and (path := direct.path_of(namespace, what)):
            status, body = self._ask(path)
            assert status in (OK, NOT_FOUND), f"{path} gave {status}: {body}"
            return json.loads(body) if status == OK else None
        options = ["-o", "json", "--ignore-not-found"]
        return json.loads(self.kubectl("-n", namespace, "get", *what, *options).out or "null")

    def raw(self, path: str) -> str:
        """`kubectl get --raw PATH`."""
        if not self.own:
            return self.kubectl("get", "--raw", path).out
        status, body = self._ask(path)
        assert status == OK, f"{path} gave {status}: {body}"
        return body

    def create(self, namespace: str, *objects: object, code: int | None = 0) -> Done:
        """Create objects in a namespace; `err` shows what the admission warned of."""
        listed = {"apiVersion": "v1", "kind": "List", "items": objects}
        return self.kubectl("-n", namespace, "create", "-f", "-", input=listed, code=code)

    def fetch(self, namespace: str, service: str, path: str = "/", port: str | int = "") -> str:
        """GET from a Service by way of the API server, which works on any cluster."""
        where = f"services/{service}{f':{port}' if port else ''}/proxy/{path.lstrip('/')}"
        return self.raw(f"/api/v1/namespaces/{namespace}/{where}")

    @cached_property
    def version(self) -> tuple[int, int]:
        """The server's version, as (1, 20)."""
        said = self.kubectl("version", "-o", "json").json["serverVersion"]["gitVersion"]
        found = re.match(r"v(\d+)\.(\d+)", said)
        assert found, said
        return int(found[1]), int(found[2])

    @asynccontextmanager
    async def api(self) -> AsyncIterator[Any]:
        """A kubernetes_asyncio ApiClient."""
        from kubernetes_asyncio import client, config  # noqa: PLC0415 (it takes a second)

        configuration = client.Configuration()
        await config.load_kube_config(
            config_file=str(self.kubeconfig), client_configuration=configuration
        )
        async with client.ApiClient(configuration) as api:
            yield api

    def explain(self, namespace: str) -> str:
        """All that may say why something in a namespace does not work."""
        parts = [
            self.kubectl("-n", namespace, *words, code=None).out
            for words in (
                ["get", "all,pvc", "-o", "wide"],
                ["get", "events", "--sort-by=.lastTimestamp"],
                ["describe", "pods"],
            )
        ]
        pods = self.kubectl("-n", namespace, "get", "pods", "-o", "name", code=None)
        for pod in pods.out.split():
            options = ["--all-containers", "--prefix", "--tail=60"]
            logs = self.kubectl("-n", namespace, "logs", pod, *options, code=None)
            parts.append(f"logs of {pod}:\n{logs.out}{logs.err}")
        return "\n".join(parts)

    def _ask(self, path: str) -> direct.Answer:
        try:
            return direct.to(self.kubeconfig).get(path)
        except (OSError, HTTPException) as error:
            raise AssertionError(f"{path}: {error!r}") from error

    def _run(
        self,
        program: str,
        arguments: tuple[str, ...],
        given: str | object | None,
        code: int | None,
        timeout: float,
    ) -> Done:
        path = PROGRAMS / program
        found = str(path) if path.exists() else shutil.which(program)
        assert found, f"there is no {program}: tests/cluster/fetch-tools brings it"
        done = subprocess.run(
            [found, *arguments],
            input=given if given is None or isinstance(given, str) else json.dumps(given),
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            env={**os.environ, "KUBECONFIG": str(self.kubeconfig), "NO_PROXY": "*"},
            check=False,
        )
        assert code is None or done.returncode == code, (
            f"{program} {' '.join(arguments)} gave {done.returncode}:\n{done.stdout}{done.stderr}"
        )
        return Done(done.returncode, done.stdout, done.stderr)
