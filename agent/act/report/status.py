"""One change of a Checkpoint's status, which is begun anew as often as others write in between."""

import copy
from collections.abc import Callable
from typing import Final

from chrek.kube.api import API, JSON
from chrek.kube.errors import APIError

Change = Callable[[JSON], JSON | None]
"""A status before -> after (agent.plan.lease); None to leave it. Called again after a conflict."""

_NOT_FOUND: Final = 404


class StatusChange:
    """change: is given the whole object, and returns its status."""

    def __init__(self, api: API, path: str, change: Change) -> None:
        self.path = path
        self._api = api
        self._change = change
        self._unanswered: list[tuple[str, JSON]] = []

    async def attempt(self, found: JSON | None) -> JSON | None:
        """Write what follows from `found`; the object as stored. None if it is gone or left.
        Raises APIError; whatever it is, a conflict too, the next attempt may be made."""
        if found is None:
            return None
        status, version = found.get("status") or {}, str(found["metadata"]["resourceVersion"])
        if any(before != version and sent == status for before, sent in self._unanswered):
            return found  # it was done, and only the answer was lost
        wanted = self._change(copy.deepcopy(found))
        if wanted is None:
            return None
        if wanted == status:
            return found
        try:
            return await self._api.replace(f"{self.path}/status", {**found, "status": wanted})
        except APIError as error:
            if error.status == _NOT_FOUND:
                return None
            if error.passing:
                self._unanswered.append((version, wanted))
            raise
