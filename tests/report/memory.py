"""An API server in memory: objects, versions, conflicts, patches; only what chrek uses of it.

The tests that use it run on a real kube-apiserver too, where there is one.
"""

import asyncio
import copy
import itertools
import uuid
from collections.abc import AsyncGenerator, Mapping
from datetime import UTC, datetime
from typing import Any

from chrek.kube.api import JSON, Patch
from chrek.kube.errors import AlreadyExistsError, APIError, ConflictError


class MemoryAPI:
    """away: every request fails, as with nobody there. lost: so many writes from now on are done,
    and only their answers are lost. writes: methods and paths of those that were done.
    """

    def __init__(self) -> None:
        self.away = False
        self.lost = 0
        self.writes: list[tuple[str, str]] = []
        self._objects: dict[str, JSON] = {}
        self._versions = itertools.count(1)

    async def get(
        self, path: str, query: Mapping[str, str] | None = None, *, timeout_seconds: float = 30.0
    ) -> JSON:
        await self._turn(path)
        if path.rpartition("/")[2] in ("events", "pods", "checkpoints"):
            inside = [found for key, found in self._objects.items() if key.startswith(f"{path}/")]
            return copy.deepcopy({"items": inside, "metadata": {"resourceVersion": "1"}})
        return copy.deepcopy(self._found(path))

    async def lines(
        self, path: str, query: Mapping[str, str], *, silence_seconds: float
    ) -> AsyncGenerator[bytes, None]:
        raise NotImplementedError
        yield b""

    async def create(self, path: str, body: JSON) -> JSON:
        await self._turn(path)
        key = f"{path}/{body['metadata']['name']}"
        if key in self._objects:
            raise AlreadyExistsError(f"{path} gave 409: exists", status=409)
        created = copy.deepcopy(body)
        created["metadata"] |= {
            "uid": str(uuid.uuid4()),
            "generation": 1,
            "creationTimestamp": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
        if "checkpoints" in path:
            created.pop("status", None)
        return self._stored("POST", key, created)

    async def replace(self, path: str, body: JSON) -> JSON:
        await self._turn(path)
        key = path.removesuffix("/status")
        found = self._found(key)
        wanted = body["metadata"].get("resourceVersion")
        if wanted not in (None, found["metadata"]["resourceVersion"]):
            raise ConflictError(f"{path} gave 409: modified", status=409)
        part = "status" if path.endswith("/status") else "spec"
        return self._stored("PUT", key, {**found, part: copy.deepcopy(body.get(part, {}))})

    async def patch(self, path: str, body: JSON, *, kind: Patch = "merge") -> JSON:
        await self._turn(path)
        key = path.removesuffix("/status")
        found = self._found(key)
        for member in ("uid", "resourceVersion"):
            wanted = body.get("metadata", {}).get(member)
            if wanted not in (None, found["metadata"][member]):
                raise ConflictError(f"{path} gave 409: {member}", status=409)
        return self._stored("PATCH", key, _merged(found, body, by_type=kind == "strategic"))

    async def delete(
        self, path: str, *, uid: str | None = None, version: str | None = None
    ) -> None:
        await self._turn(path)
        if path not in self._objects:
            return
        metadata = self._objects[path]["metadata"]
        if uid not in (None, metadata["uid"]) or version not in (None, metadata["resourceVersion"]):
            raise ConflictError(f"{path} gave 409: precondition", status=409)
        if metadata.get("finalizers"):
            metadata["deletionTimestamp"] = metadata["creationTimestamp"]
            self._stored("DELETE", path, self._objects[path])
        else:
            del self._objects[path]

    async def _turn(self, path: str) -> None:
        await asyncio.sleep(0)
        if self.away:
            raise APIError(f"{path}: no answer from the API server")

    def _found(self, key: str) -> JSON:
        if key not in self._objects:
            raise APIError(f"{key} gave 404: not found", status=404)
        return self._objects[key]

    def _stored(self, method: str, key: str, changed: JSON) -> JSON:
        changed["metadata"] = {**changed["metadata"], "resourceVersion": str(next(self._versions))}
        self.writes.append((method, key))
        metadata = changed["metadata"]
        if metadata.get("deletionTimestamp") and not metadata.get("finalizers"):
            self._objects.pop(key, None)
        else:
            self._objects[key] = changed
        if self.lost:
            self.lost -= 1
            raise APIError(f"{key}: no answer from the API server")
        return copy.deepcopy(changed)


def _merged(before: Any, patch: Any, *, by_type: bool) -> Any:
    if isinstance(patch, list) and by_type:
        named = {each["type"]: each for each in before or []}
        for each in patch:
            named[each["type"]] = _merged(named.get(each["type"]), each, by_type=by_type)
        return list(named.values())
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    merged = dict(before) if isinstance(before, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = _merged(merged.get(key), value, by_type=by_type)
    return merged
