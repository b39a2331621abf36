"""The server answers every question over HTTP, and says how it is."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from chrek.pods import names

from ..pods.making import IMAGE, container, pod
from .asking import FakeCluster, applied, review_of
from .serving import Served, serving
from .worlds import claim, known, main


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    async with serving() as found:
        yield found


async def test_a_pod_is_taken_on_over_http(served: Served) -> None:
    status, answer = await served.post(review_of(pod()))
    assert status == 200
    made = applied(pod(), answer)
    assert main(made)["command"][:3] == ["/chrek/chrek-init", "wait", "--timeout"]
    again_status, again = await served.post(review_of(made))
    assert again_status == 200
    assert applied(made, again) is made


async def test_a_pod_that_is_refused_is_allowed_with_its_sentence(served: Served) -> None:
    status, answer = await served.post(review_of(pod(hostPID=True)))
    assert status == 200
    assert "hostPID" in answer["response"]["warnings"][0]
    assert "patch" not in answer["response"]


async def test_other_requests_are_allowed(served: Served) -> None:
    for request in ({"operation": "UPDATE"}, {"namespace": "other"}, {"namespace": 5}):
        status, answer = await served.post(review_of(pod(), **request))
        assert (status, answer["response"]) == (200, {"uid": "705ab4f5", "allowed": True})


async def test_a_thousand_containers_are_answered(served: Served) -> None:
    many = [container(name=f"c{n}", image=f"{IMAGE}{n}") for n in range(1000)]
    found = pod(*many, annotations={names.CONTAINER: "c999"})
    _, answer = await served.post(review_of(found))
    made = applied(found, answer)
    assert made["spec"]["containers"][:999] == found["spec"]["containers"][:999]
    assert main(made, 999)["command"][0] == "/chrek/chrek-init"


async def test_answers_are_never_mixed_up() -> None:
    class Waiting(FakeCluster):
        async def claim(self, namespace: str, name: str) -> Any:
            for _ in range(len(self.asked) % 5):
                await asyncio.sleep(0)
            return await super().claim(namespace, name)

    claims = {f"claim-{n}": claim(f"claim-{n}") for n in range(100)}
    async with serving(Waiting(known(claim("other")), claims)) as served:

        async def one(number: int) -> None:
            annotations = {names.CLAIM: f"claim-{number}"}
            found = pod(container(args=[f"{number}"]), annotations=annotations)
            _, answer = await served.post(review_of(found, uid=f"uid-{number}"))
            made = applied(found, answer, uid=f"uid-{number}")
            assert main(made)["args"] == [f"{number}"]
            (used,) = [v for v in made["spec"]["volumes"] if v["name"] == "chrek-claim"]
            assert used["persistentVolumeClaim"]["claimName"] == f"claim-{number}"

        await asyncio.gather(*(one(number) for number in range(100)))


async def test_health_is_ok_and_readiness_names_what_is_missing(served: Served) -> None:
    assert await served.get("/healthz") == (200, "ok\n")
    assert await served.get("/readyz") == (200, "ok\n")
    served.problems += ["/api/v1/namespaces is not listed yet", "there is no certificate"]
    assert await served.get("/healthz") == (200, "ok\n")
    assert await served.get("/readyz") == (
        503,
        "not ready: /api/v1/namespaces is not listed yet\nnot ready: there is no certificate\n",
    )


async def test_a_server_that_is_about_to_end_still_answers_and_lets_go(served: Served) -> None:
    served.state.draining = True
    assert await served.get("/readyz") == (503, "not ready: it is about to end\n")
    async with served.session.post(served.url("/mutate"), json=review_of(pod())) as answer:
        assert answer.status == 200
        assert answer.headers["Connection"] == "close"


async def test_metrics_count_what_became_of_pods(served: Served) -> None:
    await served.post(review_of(pod()))
    await served.post(review_of(pod(hostPID=True)))
    await served.post(review_of(pod(), namespace="other"))
    await served.post(b"nonsense")
    status, page = await served.get("/metrics")
    assert status == 200
    for outcome in ("source", "unchanged", "ignored", "invalid"):
        assert f'chrek_admission_requests_total{{outcome="{outcome}"}} 1.0' in page
    assert "chrek_admission_seconds_count 4.0" in page
    assert 'chrek_build_info{version="' in page


async def test_other_paths_and_verbs_are_client_errors(served: Served) -> None:
    assert (await served.get("/mutate"))[0] == 405
    assert (await served.get("/"))[0] == 404
    async with served.session.put(served.url("/mutate"), data=b"{}") as answer:
        assert answer.status == 405
