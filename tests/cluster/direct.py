"""Questions to the API server without kubectl, which takes a fifth of a second of a processor for
each: tests ask several times a second while they wait.

Only what kubectl would answer in the same way: one kind, by name or by selectors, as JSON.
"""

import functools
import http.client
import json
import re
import ssl
import tempfile
import urllib.parse
from base64 import b64decode
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Final

Answer = tuple[int, str]
"""An HTTP status, and the body."""

_SECONDS: Final = 60.0
_PLURALS: Final = {
    "/api/v1": (
        "configmaps", "endpoints", "events", "persistentvolumeclaims", "pods", "resourcequotas",
        "secrets", "serviceaccounts", "services",
    ),
    "/apis/apps/v1": ("daemonsets", "deployments", "statefulsets"),
    "/apis/batch/v1": ("jobs",),
    "/apis/chrek.io/v1alpha1": ("checkpoints",),
}  # fmt: skip
_KINDS: Final = {
    word: (base, plural)
    for base, plurals in _PLURALS.items()
    for plural in plurals
    for word in (plural, plural.removesuffix("s"))
} | {"pvc": ("/api/v1", "persistentvolumeclaims")}
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9.-]*")
_OPTIONS: Final = {"-l": "labelSelector", "--field-selector": "fieldSelector"}


def path_of(namespace: str, what: Sequence[str]) -> str | None:
    """The path that `kubectl get WHAT` asks for; None where kubectl must be asked."""
    kind, *words = what[0].split("/") + list(what[1:])
    if kind not in _KINDS:
        return None
    base, plural = _KINDS[kind]
    path = f"{base}/namespaces/{namespace}/{plural}"
    match words:
        case []:
            return path
        case [name] if _NAME.fullmatch(name):
            return f"{path}/{name}"
        case [option, selector] if option in _OPTIONS:
            return f"{path}?{urllib.parse.urlencode({_OPTIONS[option]: selector})}"
    return None


def to(kubeconfig: Path) -> "Direct":
    """The API server of a kubeconfig as it is now: a cluster that is made anew has other keys."""
    return _made(kubeconfig, kubeconfig.stat().st_mtime_ns)


class Direct:
    """By the certificate in a kubeconfig of this folder's. A connection for each question: kept
    ones would have to be ended with their threads."""

    def __init__(self, kubeconfig: Path) -> None:
        written = json.loads(kubeconfig.read_text())
        cluster, user = written["clusters"][0]["cluster"], written["users"][0]["user"]
        self._address = urllib.parse.urlsplit(cluster["server"])
        authority = b64decode(cluster["certificate-authority-data"]).decode()
        self._context = ssl.create_default_context(cadata=authority)
        with tempfile.NamedTemporaryFile() as both:  # the only way in that ssl has
            both.write(b64decode(user["client-certificate-data"]))
            both.write(b64decode(user["client-key-data"]))
            both.flush()
            self._context.load_cert_chain(both.name)

    def get(self, path: str) -> Answer:
        """Raises OSError or HTTPException while there is no API server."""
        host, port = self._address.hostname, self._address.port
        assert host
        connection = http.client.HTTPSConnection(
            host, port, timeout=_SECONDS, context=self._context
        )
        with closing(connection):
            connection.request("GET", path, headers={"Accept": "application/json"})
            answer = connection.getresponse()
            return answer.status, answer.read().decode(errors="replace")


@functools.lru_cache(maxsize=4)
def _made(kubeconfig: Path, written_at: int) -> Direct:
    assert written_at
    return Direct(kubeconfig)
