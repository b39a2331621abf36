"""Kubernetes' own schemas, of every version that the tools know: strict, so that a field which a
version does not have is an error."""

import functools
import json
from pathlib import Path
from typing import Any

import kubernetes_validate
from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT4

from .rendering import CACHE, Object

_NEWER = Path(kubernetes_validate.__file__).parent / "kubernetes-json-schema"
_OLDER = CACHE / "kubernetes" / "schemas"
_DEFINITIONS = "_definitions.json"

OLDEST_CHECKED = (1, 21)


def _found() -> dict[str, Path]:
    directories = [
        each
        for above in (_OLDER, _NEWER)
        for each in above.glob("v*-local-strict")
        if each.is_dir()
    ]
    by_version = {each.name.removeprefix("v").partition("-")[0]: each for each in directories}
    return dict(sorted(by_version.items(), key=lambda item: number(item[0])))


def number(version: str) -> tuple[int, ...]:
    """`version` as something to compare."""
    return tuple(map(int, version.split(".")[:2]))


DIRECTORIES = _found()
"""Version (1.21.0) to directory, in order."""


def complaint(found: Object, version: str) -> str | None:
    """What the schema of `version` says against `found`."""
    if problem := _null(found):
        return problem
    validator = _validator(DIRECTORIES[version], found["apiVersion"], found["kind"])
    if validator is None:
        return f"{version} has no {found['apiVersion']} {found['kind']}"
    worst = best_match(validator.iter_errors(found))
    return worst and f"{worst.json_path}: {worst.message[:500]}"


def _null(found: Any, path: str = "$") -> str | None:
    """The newer schemas take null anywhere; a template that renders one has lost a value."""
    if found is None:
        return f"{path} is null"
    if isinstance(found, dict):
        below = found.items()
    elif isinstance(found, list):
        below = enumerate(found)  # type: ignore[assignment]
    else:
        return None
    return next((said for key, each in below if (said := _null(each, f"{path}.{key}"))), None)


@functools.cache
def _validator(directory: Path, api_version: str, kind: str) -> Draft202012Validator | None:
    group, _, version = api_version.rpartition("/")
    name = "-".join(filter(None, (kind.lower(), group.partition(".")[0], version)))
    path = directory / f"{name}.json"
    if not path.exists():
        return None
    return Draft202012Validator(json.loads(path.read_text()), registry=_definitions(directory))


@functools.cache
def _definitions(directory: Path) -> Registry[Any]:
    contents = json.loads((directory / _DEFINITIONS).read_text())
    resource = Resource.from_contents(contents, default_specification=DRAFT4)
    named = Registry().with_resource(_DEFINITIONS, resource)
    return resource @ named if resource.id() else named
