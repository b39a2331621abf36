"""A container of a pod: what its spec asks of the kubelet, and what its status says."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from agent.plan.reading import JSON, entries, mapping, member, moment, text, whole
from chrek.pods import wrapping
from chrek.pods.written import Record

_MOST_SECONDS: Final = 2**31 - 1


@dataclass(frozen=True, slots=True)
class LivenessBudget:
    """A liveness probe's numbers, Kubernetes' defaults filled in."""

    period_seconds: int = 10
    failure_threshold: int = 3
    timeout_seconds: int = 1
    initial_delay_seconds: int = 0


@dataclass(frozen=True, slots=True)
class Exit:
    """How a container ended. reason: the runtime's word, such as Completed, Error, OOMKilled."""

    code: int
    reason: str


@dataclass(frozen=True, slots=True)
class Variables:
    """Names of the environment as a container's spec gives it. plain: with a value of its own;
    references: from a key of a ConfigMap or Secret; fields: from the pod itself.
    sources: whether it has envFrom. service_links: whether the kubelet adds variables for the
    namespace's Services.
    """

    plain: frozenset[str] = frozenset()
    references: frozenset[str] = frozenset()
    fields: frozenset[str] = frozenset()
    sources: bool = False
    service_links: bool = True


@dataclass(frozen=True, slots=True)
class ContainerView:
    """has_startup, has_readiness: whether the *user* wrote such a probe. container_id: without
    the runtime's scheme. ended: of the container as it is now; ended_before: of the one before it.
    """

    name: str
    image: str = ""
    ready: bool = False
    running_since: datetime | None = None
    restarts: int = 0
    container_id: str | None = None
    ended: Exit | None = None
    ended_before: Exit | None = None
    has_startup: bool = False
    has_readiness: bool = False
    liveness: LivenessBudget | None = None
    variables: Variables = field(default_factory=Variables)

    @property
    def has_probe(self) -> bool:
        """Whether the kubelet can tell when it is warm."""
        return self.has_startup or self.has_readiness


def parse(spec: JSON, status: JSON, *, record: Record | None, service_links: bool) -> ContainerView:
    """`spec` of a container with its `status`. record: what chrek wrote anew, if it is chosen."""
    return ContainerView(
        name=text(spec, "name"),
        image=text(spec, "image"),
        ready=status.get("ready") is True,
        running_since=moment(status, "state", "running", "startedAt"),
        restarts=whole(status, "restartCount"),
        container_id=text(status, "containerID").rpartition("://")[2] or None,
        ended=_exit(member(status, "state", "terminated")),
        ended_before=_exit(member(status, "lastState", "terminated")),
        has_startup=_is_users(spec.get("startupProbe"), record, "startupProbe"),
        has_readiness=_is_users(spec.get("readinessProbe"), record, "readinessProbe"),
        liveness=_liveness(spec.get("livenessProbe")),
        variables=_variables(spec, service_links=service_links),
    )


def _is_users(probe: Any, record: Record | None, kind: str) -> bool:
    """A probe that chrek made quicker is still the user's; one that asks chrek-init is not."""
    if not isinstance(probe, dict) or not probe:
        return False
    if not wrapping.asks_ready(probe):
        return True
    kept = {str(name): one.was for name, one in record.members.items()} if record else {}
    return bool(kept.get(kind))


def _exit(found: Any) -> Exit | None:
    if not isinstance(found, dict):
        return None
    code = whole(found, "exitCode", default=-1, least=-(2**31), most=2**31 - 1)
    return Exit(code, text(found, "reason"))


def _liveness(probe: Any) -> LivenessBudget | None:
    if not isinstance(probe, dict) or not probe:
        return None
    usual = LivenessBudget()
    most = _MOST_SECONDS
    return LivenessBudget(
        period_seconds=whole(
            probe, "periodSeconds", default=usual.period_seconds, least=1, most=most
        ),
        failure_threshold=whole(
            probe, "failureThreshold", default=usual.failure_threshold, least=1, most=most
        ),
        timeout_seconds=whole(
            probe, "timeoutSeconds", default=usual.timeout_seconds, least=1, most=most
        ),
        initial_delay_seconds=whole(probe, "initialDelaySeconds", most=most),
    )


def _variables(spec: JSON, *, service_links: bool) -> Variables:
    """The last entry of a name counts, as for the kubelet."""
    kinds: dict[str, str] = {}
    for entry in entries(spec, "env"):
        source = mapping(entry, "valueFrom")
        if not source:
            kind = "plain"
        else:
            kind = "fields" if source.keys() & {"fieldRef", "resourceFieldRef"} else "references"
        kinds[text(entry, "name")] = kind
    sorted_out = {
        kind: frozenset(name for name, found in kinds.items() if found == kind)
        for kind in ("plain", "fields", "references")
    }
    has_sources = any(True for _ in entries(spec, "envFrom"))
    return Variables(**sorted_out, sources=has_sources, service_links=service_links)
