"""Looking for the file that says a pod is warm, on whatever volume of the pod's that may be."""

import asyncio
import os
from typing import Final

from agent.kernel import calls
from agent.runtime.target import Target
from chrek.pods.wish import Wish

_PATIENCE_SECONDS: Final = 2.0


class Looking:
    """Of one pod. A volume whose server is away holds a thread for as long, and never a second."""

    def __init__(self) -> None:
        self._asked: asyncio.Future[bool] | None = None

    async def ask(self, wish: Wish | None, target: Target) -> bool | None:
        """Whether the file is there; False while nobody can tell, None where none was named."""
        path = wish.checkpoint_after if wish else None
        if not isinstance(path, str):
            return None
        if self._asked is None:
            self._asked = asyncio.ensure_future(asyncio.to_thread(_is_there, path, target))
        done, _ = await asyncio.wait([self._asked], timeout=_PATIENCE_SECONDS)
        if not done:
            return False
        found, self._asked = self._asked.result(), None
        return found


def _is_there(path: str, target: Target) -> bool:
    try:
        root = os.open(target.root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        os.close(calls.openat2(root, path.lstrip("/"), os.O_PATH, resolve=calls.RESOLVE_IN_ROOT))
    except OSError:
        return False
    else:
        return True
    finally:
        os.close(root)
