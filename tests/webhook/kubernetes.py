"""Rules of Kubernetes that a pod must not fall under because of chrek, written after its source."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

Pod = dict[str, Any]


def expanded(word: str, variables: Mapping[str, str]) -> str:
    """`$(NAME)` and `$$` as the kubelet reads them (third_party/forked/golang/expansion)."""
    found, at = "", 0
    while at < len(word):
        following = word[at + 1 : at + 2]
        if word[at] != "$" or not following:
            found, at = found + word[at], at + 1
        elif following == "$":
            found, at = found + "$", at + 2
        elif following == "(" and (end := word.find(")", at)) > 0:
            name = word[at + 2 : end]
            found, at = found + variables.get(name, f"$({name})"), end + 1
        else:
            found, at = found + "$" + following, at + 2
    return found


def words(
    container: Mapping[str, Any],
    entrypoint: Sequence[str] = (),
    cmd: Sequence[str] = (),
    variables: Mapping[str, str] | None = None,
) -> list[str]:
    """What a container runs, of its own words and its image's."""
    command = [expanded(word, variables or {}) for word in container.get("command") or []]
    args = [expanded(word, variables or {}) for word in container.get("args") or []]
    if command:
        return command + args
    return [*entrypoint, *(args or cmd)]


def quality(pod: Pod) -> str:
    """The QoS class (pkg/apis/core/v1/helper/qos), of quantities that are whole numbers."""
    spec = pod["spec"]
    requests: Counter[str] = Counter()
    limits: Counter[str] = Counter()
    guaranteed = True
    for container in [*spec["containers"], *(spec.get("initContainers") or [])]:
        resources = container.get("resources") or {}
        asked, bounded = (_counted(resources.get(kind)) for kind in ("requests", "limits"))
        requests.update(asked)
        limits.update(bounded)
        guaranteed = guaranteed and bounded.keys() == {"cpu", "memory"}
    if not requests and not limits:
        return "BestEffort"
    return "Guaranteed" if guaranteed and requests == limits else "Burstable"


def _counted(asked: Mapping[str, str] | None) -> dict[str, int]:
    return {n: int(q) for n, q in (asked or {}).items() if n in ("cpu", "memory") and int(q) > 0}


def used(pod: Pod, name: str, kind: str = "requests") -> int:
    """What a quota and the scheduler count: all containers, or the largest init container."""
    spec = pod["spec"]
    of = [
        [int(((c.get("resources") or {}).get(kind) or {}).get(name, 0)) for c in spec.get(m) or []]
        for m in ("containers", "initContainers")
    ]
    return max([sum(of[0]), *of[1]])


def restricted(pod: Pod, container: Mapping[str, Any]) -> list[str]:
    """What Pod Security `restricted` has against a container, and against the pod's volumes."""
    of_pod = pod["spec"].get("securityContext") or {}
    own = container.get("securityContext") or {}
    effective = {**of_pod, **own}
    profile = (effective.get("seccompProfile") or {}).get("type")
    against = {
        "allowPrivilegeEscalation": own.get("allowPrivilegeEscalation") is not False,
        "capabilities": own.get("capabilities", {}).get("drop") != ["ALL"],
        "added capabilities": bool(own.get("capabilities", {}).get("add")),
        "runAsNonRoot": effective.get("runAsNonRoot") is not True,
        "runAsUser": effective.get("runAsUser") == 0,
        "seccompProfile": profile not in ("RuntimeDefault", "Localhost"),
        "privileged": bool(own.get("privileged")),
        "ports on the host": any(port.get("hostPort") for port in container.get("ports") or []),
        "volumes": any(
            not volume.keys() & {"emptyDir", "persistentVolumeClaim", "projected", "configMap"}
            for volume in pod["spec"].get("volumes") or []
        ),
    }
    return [what for what, fails in against.items() if fails]
