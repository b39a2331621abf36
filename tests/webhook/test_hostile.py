"""Whoever reaches the port: a clear answer, no 5xx, and the next request is answered too."""

import asyncio
import gzip
import io
import json
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chrek.pods import names
from chrek.pods.wrapping import prefix
from chrek.pods.written import instead
from webhook.server import app

from ..pods.making import container, few, pod
from .asking import applied, review_of
from .serving import Served, head, serving
from .test_forged import mangled, placeholder

MIB = 1 << 20


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    """A server that is still well at the end."""
    async with serving() as found:
        yield found
        status, answer = await found.post(review_of(pod()))
        assert status == 200
        assert applied(pod(), answer) != pod()


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL + 1, "chrek.admission")


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b"", "not JSON"),
        (b"\x00" * 1000, "not JSON"),
        (b"<html></html>", "not JSON"),
        (b"[]", "not an AdmissionReview"),
        (json.dumps({"kind": "PodList", "apiVersion": "v1"}).encode(), "not an AdmissionReview"),
        (
            json.dumps(review_of(pod()) | {"apiVersion": "admission.k8s.io/v1beta1"}).encode(),
            "admission.k8s.io/v1, the only one",
        ),
        (json.dumps(review_of(pod(), uid="")).encode(), "no uid"),
        (b"[" * 100_000 + b"]" * 100_000, "nested too deeply"),
        (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "nested too deeply"),
    ],
    ids=lambda value: repr(value[:20]),
)
async def test_a_body_that_is_no_question_gets_a_sentence(
    served: Served, body: bytes, sentence: str
) -> None:
    status, answer = await served.post(body)
    assert status == 400
    assert answer.keys() == {"error"}
    assert sentence in answer["error"]


async def test_8_mib_are_refused_with_a_length_and_in_chunks(served: Served) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(8):
            yield b" " * MIB

    for data in (io.BytesIO(b" " * 8 * MIB), chunks()):
        async with served.session.post(served.url("/mutate"), data=data) as answer:
            assert answer.status == 413
            assert (await answer.json()) == {"error": "the body is larger than 6 MiB"}


async def test_a_body_just_below_the_limit_is_read(served: Served) -> None:
    found = pod(annotations={"x": "a" * (5 * MIB)})
    status, answer = await served.post(review_of(found))
    assert status == 200
    assert "annotations leave no room" in answer["response"]["warnings"][0]


@pytest.mark.parametrize("packed", [gzip.compress(b" " * 64 * MIB), b"no gzip at all"])
async def test_a_body_that_is_packed_is_not_unpacked_without_end(
    served: Served, packed: bytes
) -> None:
    answer = await served.raw(head(len(packed), "Content-Encoding: gzip") + packed)
    assert answer.split()[1] == b"400"
    assert b'{"error":' in answer


@pytest.mark.parametrize(
    "sent",
    [
        head(-1) + b"zz\r\n", head(5, "Content-Length: 6") + b"abcdef", b"\x16\x03\x01\x02\x00\x01",
        b"GET /mutate\r\n\r\n", head(5, "Content-Encoding: br") + b"abcde",
        b"POST /mutate HTTP/1.1\r\n" + b"A: b\r\n" * 100_000 + b"\r\n",
        b"POST /mutate HTTP/1.1\r\nHost: x\r\nA: " + b"b" * MIB + b"\r\n\r\n",
    ],
    ids=lambda value: repr(value[:30]),
)  # fmt: skip
async def test_what_is_not_http_is_turned_away(served: Served, sent: bytes) -> None:
    answer = await asyncio.gather(served.raw(sent), return_exceptions=True)
    if isinstance(answer[0], bytes):
        assert answer[0].split()[1].startswith(b"4")


@pytest.mark.parametrize(
    "value", ["\x00", "🧊", "\u202e", "\x1b[31m", "=" * 100_000, "{{.}}", "$(X)", "'\"\\\n"]
)
@pytest.mark.parametrize("key", [names.CHECKPOINT, names.CLAIM, names.IGNORE_ENV, names.AS_WRITTEN])
async def test_annotations_of_any_bytes_are_answered(served: Served, key: str, value: str) -> None:
    found = pod(annotations={key: value})
    status, answer = await served.post(review_of(found))
    assert status == 200
    made = applied(found, answer)
    if key == names.AS_WRITTEN:
        assert made["metadata"]["labels"]["chrek.io/role"] == "source"
    else:
        assert made == found
        assert all(line.isprintable() for line in answer["response"]["warnings"])


def test_pods_of_wrong_types_are_answered_over_http() -> None:
    @settings(few, max_examples=5)
    @given(st.lists(mangled(placeholder()), min_size=20, max_size=20))
    def ask(pods: list[dict[str, Any]]) -> None:
        async def all_of_them() -> None:
            async with serving() as served:
                for found in pods:
                    status, answer = await served.post(review_of(found))
                    assert status == 200
                    applied(found, answer)

        asyncio.run(all_of_them())

    ask()


async def test_members_that_nest_as_deep_as_can_be_read_are_answered(served: Served) -> None:
    for depth in range(100, 1100, 50):
        value = "[" * depth + "]" * depth
        for path in ('"spec"', '"annotations"', '"command"', '"resources"'):
            text = json.dumps(review_of(placeholder()))
            body = text.replace(f"{path}: ", f'{path}: {value}, "other": ', 1).encode()
            assert (await served.post(body))[0] in (200, 400)
        kept = f'{{"was":{value},"ours":"{instead(None, None).ours}"}}'
        forged = pod(container(command=[*prefix(2, in_image=False), "x"]), hostPID=True)
        forged["metadata"]["annotations"] |= {
            names.CHECKPOINT_ID: "x",
            names.AS_WRITTEN: '{"container":"main","members":{"args":' + kept + "}}",
        }
        assert (await served.post(review_of(forged)))[0] == 200


async def test_clients_that_drip_hold_up_nobody(served: Served) -> None:
    body = json.dumps(review_of(pod())).encode()
    starts = [head(len(body)) + body[:20], head(-1) + b"5\r\nab", b"POST /mutate HTTP/1.1\r\nHo"]
    async with asyncio.TaskGroup() as group:
        done = asyncio.Event()
        opened = asyncio.Semaphore(0)

        async def drip(start: bytes) -> None:
            async with served.connection(start) as (_, writer):
                opened.release()
                while not done.is_set():
                    writer.write(b"a")
                    await asyncio.sleep(0.01)

        for number in range(150):
            group.create_task(drip(starts[number % 3]))
        for _ in range(150):
            await opened.acquire()
        for _ in range(5):
            status, answer = await served.post(review_of(pod()))
            assert status == 200
            applied(pod(), answer)
        done.set()


async def test_a_body_that_does_not_come_is_given_up(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "_BODY_SECONDS", 0.05)
    for start in (head(100) + b"a", head(-1) + b"5\r\nab"):
        async with served.connection(start) as (reader, _):
            answer = await reader.readuntil(b"}")
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b'{"error": "the body did not come within 0 s"}' in answer


async def test_clients_that_go_away_leave_no_stack_behind(
    served: Served, caplog: pytest.LogCaptureFixture
) -> None:
    for start in (head(100) + b"a", head(-1) + b"5\r\nab", b"POST /mu"):
        async with served.connection(start):
            pass
    await served.post(review_of(pod()))
    assert [record for record in caplog.records if record.exc_info] == []
