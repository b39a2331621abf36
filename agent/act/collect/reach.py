"""Claims that are mounted on this node: for a pod of chrek's that runs, or for a cleaner."""

from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from agent.act import volume
from agent.act.collect import cleaner
from agent.act.node import Node
from agent.claims.attach import attached
from agent.plan.pod import PodView
from agent.plan.reading import text
from agent.runtime.cri.model import Container
from chrek.errors import ClaimUnreachableError
from chrek.kube.api import API
from chrek.kube.errors import APIError

_NOT_FOUND: Final = 404


class Attach(Protocol):
    """As agent.claims.attach.attached."""

    def __call__(self, host_path: str, *, read_only: bool) -> AbstractAsyncContextManager[Path]: ...


@dataclass(frozen=True, slots=True)
class Cleaner:
    """A cleaner that was assigned to this node."""

    pod: PodView
    claim: str


@dataclass(frozen=True, slots=True)
class _Holder:
    """A pod that has a claim mounted. mounting: the container whose mounts tell where. running:
    the container that runs meanwhile."""

    pod: PodView
    mounting: str
    running: Container


class Reach:
    """What of the cluster's volumes this node has."""

    def __init__(self, node: Node, api: API, attach: Attach = attached) -> None:
        self._node = node
        self._api = api
        self._attach = attach
        self._claims: dict[str, str | None] = {}

    def holds(self, namespace: str, claim: str) -> bool:
        """Whether a pod that runs here has the claim mounted."""
        return next(self._holders(namespace, claim), None) is not None

    @asynccontextmanager
    async def attached(self, namespace: str, claim: str) -> AsyncIterator[Path]:
        """The claim, to be written; raises StorageError, CRIError."""
        holder = next(self._holders(namespace, claim), None)
        if holder is None:
            raise ClaimUnreachableError(f"no pod on this node has claim {claim} mounted any more")
        path = await volume.host_path_in(self._node, holder.pod, holder.mounting)
        async with self._attach(path, read_only=False) as place:
            # While a container of the pod runs, the kubelet leaves its volumes mounted. Had it
            # unmounted this one before, an empty directory would be there instead.
            status = await self._node.cri.status(holder.running.id)
            if status.container.state != "running":
                raise ClaimUnreachableError(
                    f"pod {namespace}/{holder.pod.name} ended while its claim {claim} was reached"
                )
            yield place

    def cleaners(self) -> list[Cleaner]:
        """Those of this node that are known."""
        found = ((pod, self._claims.get(pod.uid)) for pod in self._node.memory.pods())
        return [Cleaner(pod, claim) for pod, claim in found if claim]

    async def refresh(self) -> None:
        """Get to know the cleaners that have come; raises APIError."""
        here = {pod.uid: pod for pod in self._node.memory.pods() if _is_named_so(pod)}
        self._claims = {uid: claim for uid, claim in self._claims.items() if uid in here}
        for uid in here.keys() - self._claims.keys():
            self._claims[uid] = await self._claim(here[uid])

    async def _claim(self, pod: PodView) -> str | None:
        """A name is anybody's; the label and the volume are looked at."""
        try:
            found = await self._api.get(f"/api/v1/namespaces/{pod.namespace}/pods/{pod.name}")
        except APIError as error:
            if error.status == _NOT_FOUND:
                return None
            raise
        is_same = text(found, "metadata", "uid") == pod.uid
        return cleaner.claim_of(found) if is_same else None

    def _holders(self, namespace: str, claim: str) -> Iterator[_Holder]:
        for pod in self._node.memory.pods():
            if pod.namespace != namespace or pod.deleting or pod.ended:
                continue
            if self._claims.get(pod.uid) == claim:
                mounting, name = cleaner.CONTAINER, cleaner.CONTAINER
            elif pod.wrapped and pod.claim == claim and pod.container:
                mounting, name = volume.mounting(pod) or "", pod.container
            else:
                continue
            running = self._node.containers.of(pod.uid, name)
            is_known = self._node.containers.of(pod.uid, mounting) is not None
            if is_known and running is not None and running.state == "running":
                yield _Holder(pod, mounting, running)


def _is_named_so(pod: PodView) -> bool:
    listed = tuple(each.name for each in pod.containers)
    return pod.name.startswith(cleaner.PREFIX) and listed == (cleaner.CONTAINER,)
