"""Questions as an API server puts them, and a cluster of which all is known."""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import jsonpatch

from chrek.errors import ChrekError
from webhook.admission.known import Claim, ImageConfig, Known
from webhook.admit import Admission, Admitted, NoImages
from webhook.server.wire import Question

from ..pods.making import Pod
from .worlds import OPTIONS, known

KIND = {"group": "", "version": "v1", "kind": "Pod"}


@dataclass
class FakeCluster:
    """What watches know: `world`; what the API server would say: `claims`."""

    world: Known = field(default_factory=known)
    claims: dict[str, Claim] = field(default_factory=dict)
    namespaces: tuple[str, ...] = ("ml",)
    asked: list[str] = field(default_factory=list)

    def covers(self, namespace: str) -> bool:
        return namespace in self.namespaces

    def known(self, _namespace: str) -> Known:
        return self.world

    async def claim(self, namespace: str, name: str) -> Claim | None:
        self.asked.append(f"{namespace}/{name}")
        return self.claims.get(name)


@dataclass
class FakeImages:
    """A registry that says this of every image."""

    said: ImageConfig | ChrekError | None
    asked: list[tuple[str, str, Mapping[str, Any]]] = field(default_factory=list)

    async def config(
        self, image: str, namespace: str, spec: Mapping[str, Any]
    ) -> ImageConfig | None:
        self.asked.append((image, namespace, spec))
        if isinstance(self.said, ChrekError):
            raise self.said
        return self.said


def admission(cluster: FakeCluster | None = None, images: FakeImages | None = None) -> Admission:
    return Admission(cluster or FakeCluster(), images or NoImages(), OPTIONS)


async def answered(
    found: Any, cluster: FakeCluster | None = None, images: FakeImages | None = None
) -> Admitted:
    return await admission(cluster, images).answer(Question("u", "ml", found))


def patched(found: Pod, admitted: Admitted) -> Pod:
    """The pod that the API server creates after this answer."""
    sent = json.loads(json.dumps(list(admitted.operations)))
    made: Pod = jsonpatch.apply_patch(json.loads(json.dumps(found)), sent)
    return made


def review_of(found: Any, uid: str = "705ab4f5", **request: Any) -> dict[str, Any]:
    """The AdmissionReview for the creation of a pod."""
    asked = {
        "uid": uid,
        "kind": KIND,
        "resource": {"group": "", "version": "v1", "resource": "pods"},
        "namespace": "ml",
        "operation": "CREATE",
        "userInfo": {"username": "me"},
        "object": found,
        "oldObject": None,
        "dryRun": False,
        "options": {"kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1"},
    } | request
    return {"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "request": asked}


def applied(found: Pod, answer: dict[str, Any], uid: str = "705ab4f5") -> Pod:
    """The pod after an AdmissionReview that answers, once that is one that may be sent."""
    assert answer.keys() == {"kind", "apiVersion", "response"}
    assert (answer["kind"], answer["apiVersion"]) == ("AdmissionReview", "admission.k8s.io/v1")
    response = answer["response"]
    assert response["uid"] == uid
    assert response["allowed"] is True
    assert response.keys() <= {"uid", "allowed", "patch", "patchType", "warnings"}
    if "patch" not in response:
        return found
    assert response["patchType"] == "JSONPatch"
    sent = json.loads(base64.b64decode(response["patch"], validate=True))
    made: Pod = jsonpatch.apply_patch(json.loads(json.dumps(found)), sent)
    return made
