"""Whether what lies on a claim is gone with it, so that nobody has to remove it."""

import asyncio
from dataclasses import dataclass
from typing import Final

from agent.act.collect.surplus import Claim
from agent.plan.reading import text
from chrek.kube.api import API, JSON
from chrek.kube.errors import APIError

_NOT_FOUND: Final = 404
_REMEMBERED_SECONDS: Final = 5.0
"""Many Checkpoints of a claim are deleted at once."""
_REMEMBERED: Final = 100
_KEPT: Final = "what the volume's reclaim policy leaves of it is its administrator's"


@dataclass(frozen=True, slots=True)
class Gone:
    """reason, message: as an Event has them."""

    reason: str
    message: str


class Fates:
    """Of claims, as the API server tells it."""

    def __init__(self, api: API) -> None:
        self._api = api
        self._known: dict[Claim, tuple[float, Gone | None]] = {}
        self._asking = asyncio.Lock()

    async def of(self, claim: Claim) -> Gone | None:
        """Why nothing can, or need, be removed from a claim; None if it is there. Raises
        APIError."""
        async with self._asking:
            moment = asyncio.get_running_loop().time()
            asked, found = self._known.get(claim, (float("-inf"), None))
            if moment - asked > _REMEMBERED_SECONDS:
                found = await _fate(self._api, *claim)
                if len(self._known) >= _REMEMBERED:
                    self._known.clear()
                self._known[claim] = moment, found
        return found


async def _fate(api: API, namespace: str, claim: str) -> Gone | None:
    """In a namespace that ends no pod can be created, and its claims go with it."""
    found = await _get(api, f"/api/v1/namespaces/{namespace}")
    if found is None or text(found, "metadata", "deletionTimestamp"):
        return Gone("NamespaceEnds", f"namespace {namespace} goes, and its claims with it; {_KEPT}")
    found = await _get(api, f"/api/v1/namespaces/{namespace}/persistentvolumeclaims/{claim}")
    if found is None:
        return Gone("ClaimGone", f"there is no claim {claim} any more; {_KEPT}")
    if text(found, "metadata", "deletionTimestamp"):
        return Gone("ClaimGone", f"claim {claim} is being deleted; {_KEPT}")
    phase = text(found, "status", "phase")
    if phase == "Lost":
        return Gone("ClaimGone", f"claim {claim} has lost its volume")
    if phase == "Pending" and not text(found, "spec", "volumeName"):
        return Gone("ClaimUnbound", f"claim {claim} has no volume and never had one")
    return None


async def _get(api: API, path: str) -> JSON | None:
    try:
        return await api.get(path)
    except APIError as error:
        if error.status == _NOT_FOUND:
            return None
        raise
