"""What goes wrong between chrek and an API server comes out as one kind of error."""

from pathlib import Path
from typing import Any

import pytest

from chrek.kube.api import connected
from chrek.kube.errors import APIError, ExpiredError, NoClusterError

from .scripted import Step, cut, listed, refused, said, scripted, status, watched

FORBIDDEN = 'persistentvolumeclaims is forbidden: User "x" cannot list'


async def test_an_object_is_the_json_that_it_is() -> None:
    body: dict[str, Any] = {"a": None, "b": {"unknown": [1, 1.5, True]}, "c": "ä"}
    async with scripted(said(200, body)) as (server, api):
        assert await api.get("/api/v1/x", {"a": "b&c=d", "e": ""}) == body
        assert server.asked == [("/api/v1/x", {"a": "b&c=d", "e": ""})]


async def test_a_refusal_has_the_servers_status_and_words() -> None:
    async with scripted(said(403, status(403, FORBIDDEN))) as (_, api):
        with pytest.raises(APIError, match="cannot list") as refusal:
            await api.get("/api/v1/x")
        assert refusal.value.status == 403
        assert refusal.value.reason == "KubernetesAPI"
        assert refusal.value.retry


async def test_what_is_gone_is_an_error_of_its_own() -> None:
    async with scripted(refused(410), refused(410)) as (_, api):
        with pytest.raises(ExpiredError):
            await api.get("/api/v1/x")
        with pytest.raises(ExpiredError):
            await anext(api.lines("/api/v1/x", {}, silence_seconds=5))


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b'{"message": 5}', b"[]", b'"\xff"', b"{", b"[" * 100_000, b"x" * 9999]
)
async def test_a_refusal_of_any_body_is_an_error_of_bounded_length(body: bytes) -> None:
    async with scripted(said(502, body)) as (_, api):
        with pytest.raises(APIError) as refusal:
            await api.get("/api/v1/x")
        assert refusal.value.status == 502
        assert len(refusal.value.message) < 400


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"null", b'{"a": "\xff"}', b"[" * 100_000])
async def test_an_answer_that_is_no_object_is_an_error(body: bytes) -> None:
    async with scripted(said(200, body)) as (_, api):
        with pytest.raises(APIError, match="is not JSON"):
            await api.get("/api/v1/x")


@pytest.mark.parametrize("step", [cut(b'{"a":'), cut()])
async def test_a_connection_that_breaks_is_an_error(step: Step) -> None:
    async with scripted(step) as (_, api):
        with pytest.raises(APIError, match="no answer from the API server") as broken:
            await api.get("/api/v1/x")
        assert broken.value.status == 0


async def test_an_answer_that_takes_too_long_is_an_error() -> None:
    async with scripted(watched(b"{", ends=False)) as (_, api):
        with pytest.raises(APIError, match="no answer"):
            await api.get("/api/v1/x", timeout_seconds=0.05)


async def test_a_server_that_is_not_there_is_an_error() -> None:
    async with scripted() as (server, api):
        await server.stop()
        with pytest.raises(APIError, match="no answer"):
            await api.get("/api/v1/x")
        with pytest.raises(APIError, match="no answer"):
            await anext(api.lines("/api/v1/x", {}, silence_seconds=5))


@pytest.mark.parametrize(
    "path",
    ["/api/v1/namespaces/ml/../../secrets", "/api/v1/..", "/api/v1/x?watch=1", "/api//x", "x",
     "/api/v1/x#y", "/api/v1/%2e%2e/x", "/api/v1/ä", "/api/v1/x\n", "/./x", ""],
)  # fmt: skip
async def test_a_name_that_leads_elsewhere_is_not_asked_for(path: str) -> None:
    async with scripted(listed("a")) as (server, api):
        with pytest.raises(APIError, match="names no object") as refusal:
            await api.get(path)
        assert refusal.value.status == 404
        assert server.asked == []


async def test_a_name_with_dots_is_a_name() -> None:
    async with scripted(listed("a")) as (server, api):
        await api.get("/apis/storage.k8s.io/v1/storageclasses/..a.b..")
        assert server.asked[0][0] == "/apis/storage.k8s.io/v1/storageclasses/..a.b.."


@pytest.mark.parametrize("content", [None, "", "nonsense: [", "{}", "contexts: 5"])
async def test_without_a_cluster_that_is_said(
    content: str | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    kubeconfig = tmp_path / "config"
    if content is not None:
        kubeconfig.write_text(content)
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
    with pytest.raises(NoClusterError, match="no Kubernetes cluster is known"):
        async with connected():
            raise AssertionError("there is no cluster")


async def test_outside_a_pod_and_without_kubeconfig_that_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("KUBECONFIG", "KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(NoClusterError, match="Set KUBECONFIG"):
        async with connected():
            raise AssertionError("there is no cluster")
