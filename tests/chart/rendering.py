"""What helm makes of the chart: objects, notes, or a refusal."""

import functools
import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

Object = dict[str, Any]
Values = Mapping[str, Any]

REPOSITORY = Path(__file__).resolve().parents[2]
CHART = REPOSITORY / "manifests" / "chrek"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "chrek"
HELM = Path(os.environ.get("CHREK_HELM") or CACHE / "kubernetes" / "bin" / "helm")

SIZE: Values = {"storage": {"pvc": {"size": "100Gi"}}}
"""What the README's one line sets."""
NEWEST = "1.37.0"


class _Strict(yaml.CSafeLoader):
    """Refuses a key that is there twice: the last would win and nobody would see it."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> Any:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        assert len(keys) == len(set(keys)), f"twice in one mapping: {keys}"
        return super().construct_mapping(node, deep)


def merged(*values: Values) -> Object:
    """`values`, the later over the earlier, level by level."""
    together: Object = {}
    for one in values:
        for key, value in one.items():
            below = together.get(key)
            deeper = isinstance(value, Mapping) and isinstance(below, Mapping)
            together[key] = merged(below, value) if deeper else value
    return together


def render(
    *values: Values, release: str = "chrek", namespace: str = "my-team", kubernetes: str = NEWEST
) -> list[Object]:
    """The objects that an installation would make, without the CRD."""
    asked = json.dumps(merged(*values))
    done = _helm("template", release, namespace, f"--kube-version={kubernetes}", values=asked)
    assert done.returncode == 0, done.stderr
    return [each for each in yaml.load_all(done.stdout, _Strict) if each]


def refusal(*values: Values, release: str = "chrek", namespace: str = "my-team") -> str:
    """What helm says instead of installing."""
    done = _helm("template", release, namespace, values=json.dumps(merged(*values)))
    assert done.returncode != 0, "helm took it"
    return done.stderr


def notes(*values: Values, release: str = "chrek", namespace: str = "my-team") -> str:
    """What helm prints after the installation."""
    asked = json.dumps(merged(*values))
    done = _helm("install", release, namespace, "--dry-run=client", values=asked)
    assert done.returncode == 0, done.stderr
    return done.stdout.partition("\nNOTES:\n")[2]


def one(objects: list[Object], kind: str, name: str) -> Object:
    """The object of that kind whose name ends so."""
    found = [
        each for each in objects if each["kind"] == kind and each["metadata"]["name"].endswith(name)
    ]
    assert len(found) == 1, [each["metadata"]["name"] for each in found]
    return found[0]


def pods(objects: list[Object]) -> Iterator[tuple[str, Object]]:
    """Component and pod template of everything that makes pods."""
    for each in objects:
        if "template" in each.get("spec", {}):
            yield (
                each["metadata"]["labels"]["app.kubernetes.io/component"],
                each["spec"]["template"],
            )


def pod(objects: list[Object], component: str) -> Object:
    """The pod template of `component`."""
    return dict(pods(objects))[component]


@functools.cache
def _helm(
    verb: str, release: str, namespace: str, *flags: str, values: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [HELM, verb, release, CHART, f"--namespace={namespace}", "--values=-", *flags],
        input=values,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
