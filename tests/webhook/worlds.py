"""What is known of a namespace, and one admission in it, checked as an API server would."""

import json
from typing import Any

import jsonpatch

from chrek.pods.identity import identity
from webhook.admission import patch
from webhook.admission.known import Checkpoint, Claim, ImageConfig, Known, Options
from webhook.admission.review import Reviewed, review

from ..pods.making import IMAGE, Pod

OPTIONS = Options(init_image="docker.io/chrek/init@sha256:0")
CLAIM = "chrek-checkpoints"
COLD = "chrek: pod unchanged, starts cold: "
MOST_WARNINGS = 4096
"""Characters; of more, an API server cuts the long ones."""


def claim(
    name: str = CLAIM, phase: str = "Bound", mode: str = "ReadWriteMany", **more: Any
) -> Claim:
    return Claim(name, phase, frozenset([mode] if mode else []), **more)


def known(
    *found: Claim | Checkpoint, images: dict[str, ImageConfig] | None = None, **more: Any
) -> Known:
    """With a claim that is bound, unless others are given."""
    claims = [one for one in found if isinstance(one, Claim)] or [claim()]
    checkpoints = [one for one in found if isinstance(one, Checkpoint)]
    return Known(
        namespace="ml",
        claims={one.name: one for one in claims},
        checkpoints={one.name: one for one in checkpoints},
        images=images or {},
        **more,
    )


def learned(entrypoint: list[str], cmd: list[str], image: str = IMAGE) -> dict[str, ImageConfig]:
    return {image: ImageConfig(tuple(entrypoint), tuple(cmd))}


def ready(
    found: Pod, seconds: float | None = 10.0, at: int = 0, image: str | None = None
) -> Checkpoint:
    """The checkpoint of a pod like this one."""
    chosen = found["spec"]["containers"][at]
    name = identity(found, chosen, image=image or chosen["image"], ignore_env=frozenset())
    return Checkpoint(name, usable=True, identity=name, cold_start_seconds=seconds)


def reviewed(found: Pod, world: Known | None = None, options: Options = OPTIONS) -> Reviewed:
    """A review, once its patch is known to give what it says, in the bytes that are sent."""
    before = json.loads(json.dumps(found))
    answer = review(found, known() if world is None else world, options)
    assert found == before, "what came in is not changed"
    sent = json.dumps(patch.between(found, answer.pod))
    assert jsonpatch.apply_patch(before, sent) == answer.pod
    for warning in answer.warnings:
        assert warning.startswith("chrek: ")
        assert warning.isprintable()
    assert sum(map(len, answer.warnings)) <= MOST_WARNINGS
    return answer


def admitted(found: Pod, world: Known | None = None, options: Options = OPTIONS) -> Pod:
    """As the API server would store it: a pod of its own, taken on or not."""
    answer = reviewed(found, world, options)
    made: Pod = json.loads(json.dumps(answer.pod))
    return made


def main(found: Pod, at: int = 0) -> dict[str, Any]:
    chosen: dict[str, Any] = found["spec"]["containers"][at]
    return chosen


def refused(found: Pod, world: Known | None = None, options: Options = OPTIONS) -> list[str]:
    """The sentences for which a pod is left as it was written."""
    answer = reviewed(found, world, options)
    assert answer.pod is found
    assert answer.warnings
    assert all(warning.startswith(COLD) for warning in answer.warnings)
    return [warning.removeprefix(COLD) for warning in answer.warnings]
