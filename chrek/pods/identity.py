"""The identity of a pod: 16 hex characters of all that admission knows and that must be equal for
a checkpoint of one pod to fit another.

Pure. Taken from the chosen container as the user wrote it. Left out is what differs from pod to
pod (names, what the ServiceAccount plugin mounts), what a restored process does not see (probes,
limits, labels, other containers), and the contents of references (a node compares those).
"""

import hashlib
from collections.abc import Mapping, Set
from typing import Any, Final

import msgspec

_FORM: Final = 1
"""Raise it when the same pod gives another identity: then no older checkpoint fits."""

_SERVICE_ACCOUNT: Final = "/var/run/secrets/kubernetes.io/serviceaccount"
_FILLED_IN: Final = (("apiVersion", "v1"), ("divisor", "0"))
_POD_CREDENTIALS: Final = (
    "runAsUser", "runAsGroup", "supplementalGroups", "fsGroup", "seccompProfile",
)  # fmt: skip
_CONTAINER_CREDENTIALS: Final = (
    "runAsUser", "runAsGroup", "seccompProfile", "capabilities", "privileged",
    "allowPrivilegeEscalation", "readOnlyRootFilesystem",
)  # fmt: skip


def identity(
    pod: Mapping[str, Any], container: Mapping[str, Any], *, image: str, ignore_env: Set[str]
) -> str:
    """Of `container` in `pod`, which runs `image`.

    `pod` and `container` are the API's JSON objects, validated by the API server; anything of an
    unexpected type still gives an identity, of its own.
    """
    spec = pod.get("spec") or {}
    counted = {
        "form": _FORM,
        "image": image,
        "command": container.get("command") or [],
        "args": container.get("args") or [],
        "directory": container.get("workingDir") or "",
        "env": _env(container, ignore_env),
        "env_from": [_plain(source) for source in container.get("envFrom") or []],
        "mounts": _mounts(container),
        "devices": _devices(container),
        "credentials": _credentials(spec, container),
        "host": sorted(key for key in ("hostNetwork", "hostIPC") if spec.get(key)),
    }
    return hashlib.sha256(msgspec.json.encode(counted, order="sorted")).hexdigest()[:16]


def _plain(value: Any) -> Any:
    """Without what the API server fills in: `optional: false` is as if it were not written."""
    if isinstance(value, dict):
        kept = {key: _plain(inner) for key, inner in value.items()}
        return {
            key: inner
            for key, inner in kept.items()
            if not (inner is None or inner is False or inner in ("", [], {}))
            and (key, inner) not in _FILLED_IN
        }
    return [_plain(inner) for inner in value] if isinstance(value, list) else value


def _env(container: Mapping[str, Any], ignored: Set[str]) -> list[Any]:
    """In order: `$(NAME)` sees only what stands before it."""
    return [
        [entry.get("name"), entry.get("value") or "", _plain(entry.get("valueFrom")) or {}]
        for entry in container.get("env") or []
        if entry.get("name") not in ignored
    ]


def _mounts(container: Mapping[str, Any]) -> list[str]:
    paths = {str(mount.get("mountPath")) for mount in container.get("volumeMounts") or []}
    return sorted(path.rstrip("/") or "/" for path in paths if path != _SERVICE_ACCOUNT)


def _devices(container: Mapping[str, Any]) -> dict[str, str]:
    """Extended resources (GPUs and the like): all that have a domain of their own."""
    resources = container.get("resources") or {}
    asked = {**(resources.get("requests") or {}), **(resources.get("limits") or {})}
    counted = {name: str(count) for name, count in asked.items() if "/" in name}
    claims = resources.get("claims")
    return counted | ({"claims": str(len(claims))} if claims else {})


def _credentials(spec: Mapping[str, Any], container: Mapping[str, Any]) -> Any:
    of_pod = spec.get("securityContext") or {}
    of_container = container.get("securityContext") or {}
    found = {key: of_pod[key] for key in _POD_CREDENTIALS if key in of_pod}
    found |= {key: of_container[key] for key in _CONTAINER_CREDENTIALS if key in of_container}
    # Unlike `privileged: false`, this is not what is meant when nothing is written.
    if found.pop("allowPrivilegeEscalation", None) is False:
        found["noNewPrivileges"] = True
    if isinstance(found.get("supplementalGroups"), list):
        found["supplementalGroups"] = sorted(found["supplementalGroups"], key=str)
    if isinstance(found.get("capabilities"), Mapping):
        found["capabilities"] = {
            verb: sorted({str(name).upper().removeprefix("CAP_") for name in listed or []})
            for verb, listed in found["capabilities"].items()
        }
    return _plain(found)
