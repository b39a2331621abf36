"""Objects are written once, as they are, and what the API server thinks of it comes out."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from chrek.kube.api import JSON, ClusterAPI
from chrek.kube.errors import AlreadyExistsError, APIError, ConflictError, ExpiredError

from .scripted import Written, cut, named, refused, said, scripted, status, watched

THINGS = "/apis/chrek.io/v1alpha1/namespaces/ml/checkpoints"
THING = f"{THINGS}/web"
BODY: JSON = {"metadata": {"name": "web"}, "x": {"empty": "", "none": None, "list": [], "ä": 1.5}}

Write = Callable[[ClusterAPI, str], Awaitable[Any]]
WRITES: dict[str, Write] = {
    "create": lambda api, path: api.create(path, BODY),
    "replace": lambda api, path: api.replace(path, BODY),
    "patch": lambda api, path: api.patch(path, BODY),
    "delete": lambda api, path: api.delete(path),
}
each_write = pytest.mark.parametrize("write", WRITES.values(), ids=WRITES.keys())


async def test_a_body_is_sent_as_it_is_and_what_was_stored_comes_back() -> None:
    stored = named("web", "7")
    async with scripted(*[said(201, stored)] * 4) as (server, api):
        assert await api.create(THINGS, BODY) == stored
        assert await api.replace(THING, BODY) == stored
        assert await api.patch(f"{THING}/status", BODY) == stored
        assert await api.patch("/api/v1/namespaces/ml/pods/a/status", BODY, kind="strategic")
    assert server.written == [
        Written("POST", THINGS, "application/json", BODY),
        Written("PUT", THING, "application/json", BODY),
        Written("PATCH", f"{THING}/status", "application/merge-patch+json", BODY),
        Written(
            "PATCH",
            "/api/v1/namespaces/ml/pods/a/status",
            "application/strategic-merge-patch+json",
            BODY,
        ),
    ]


async def test_an_empty_patch_is_a_patch() -> None:
    async with scripted(said(200, {})) as (server, api):
        await api.patch(THING, {})
    assert server.written[0].body == {}


async def test_just_the_object_that_was_meant_is_deleted() -> None:
    async with scripted(said(200, status(200)), said(202, named("web"))) as (server, api):
        await api.delete(THING, uid="1-2", version="7")
        await api.delete(THING)
    assert [each.method for each in server.written] == ["DELETE", "DELETE"]
    assert server.written[0].body["preconditions"] == {"uid": "1-2", "resourceVersion": "7"}
    assert server.written[1].body["preconditions"] == {}


async def test_what_is_gone_is_deleted() -> None:
    async with scripted(refused(404)) as (_, api):
        await api.delete(THING)


@each_write
async def test_a_conflict_is_an_error_of_its_own(write: Write) -> None:
    async with scripted(said(409, status(409, "modified", "Conflict"))) as (_, api):
        with pytest.raises(ConflictError, match="web gave 409: modified") as conflict:
            await write(api, THING)
        assert not isinstance(conflict.value, AlreadyExistsError)
        assert conflict.value.status == 409


async def test_a_name_that_is_taken_is_one_too() -> None:
    async with scripted(said(409, status(409, "there is one", "AlreadyExists"))) as (_, api):
        with pytest.raises(AlreadyExistsError, match="there is one"):
            await api.create(THINGS, BODY)


@each_write
@pytest.mark.parametrize("code", [400, 401, 403, 410, 422, 429, 500, 503])
async def test_a_refusal_has_the_servers_status_and_words(write: Write, code: int) -> None:
    async with scripted(said(code, status(code, "so there"))) as (server, api):
        with pytest.raises(APIError, match=f"web gave {code}: so there") as refusal:
            await write(api, THING)
        assert refusal.value.status == code
        assert refusal.value.passing == (code in (401, 429, 500, 503))
        assert isinstance(refusal.value, ExpiredError) == (code == 410)
        assert len(server.asked) == 1, "whether to write again is for others to say"


@pytest.mark.parametrize("write", ["create", "replace", "patch"])
async def test_what_is_not_there_cannot_be_written(write: str) -> None:
    async with scripted(refused(404)) as (_, api):
        with pytest.raises(APIError) as refusal:
            await WRITES[write](api, THING)
        assert refusal.value.status == 404
        assert not refusal.value.passing


@pytest.mark.parametrize("write", ["create", "patch"])
async def test_a_write_whose_answer_is_lost_is_not_repeated(write: str) -> None:
    """It may have been done. (A PUT of a known version, or a DELETE, does no harm twice.)"""
    async with scripted(said(200, {}), cut(), said(200, {})) as (server, api):
        await api.get(THING)  # so that the connection is one that was used before
        with pytest.raises(APIError, match="no answer from the API server") as broken:
            await WRITES[write](api, THING)
        assert broken.value.status == 0
        assert broken.value.passing
        assert len(server.written) == 1


@each_write
async def test_a_write_that_takes_too_long_is_an_error(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chrek.kube.api._WRITE_SECONDS", 0.05)
    async with scripted(watched(b"{", ends=False)) as (_, api):
        with pytest.raises(APIError, match="no answer"):
            await write(api, THING)


@each_write
@pytest.mark.parametrize(
    "path", ["/api/v1/namespaces/ml/../../secrets", "/api/v1/x?a=b", "/api//x", "x", "/x\n", ""]
)
async def test_a_name_that_leads_elsewhere_is_not_written_to(write: Write, path: str) -> None:
    async with scripted() as (server, api):
        with pytest.raises(APIError, match="names no object"):
            await write(api, path)
        assert server.asked == []


@pytest.mark.parametrize("write", ["create", "replace", "patch"])
@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"null", b"[" * 100_000])
async def test_an_answer_that_is_no_object_is_an_error(write: str, body: bytes) -> None:
    async with scripted(said(200, body)) as (_, api):
        with pytest.raises(APIError, match="is not JSON"):
            await WRITES[write](api, THING)
