"""Read, decide, write; and all of it again when somebody else wrote in between."""

import asyncio
import itertools
import random
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from chrek.kube.errors import APIError, ConflictError

T = TypeVar("T")

_CONFLICT_SECONDS: Final = (0.01, 0.5)
_AWAY_SECONDS: Final = (0.25, 5.0)
"""The first and the longest pause."""


async def persist(attempt: Callable[[], Awaitable[T]], seconds: float) -> T:
    """What `attempt` gives, once neither a conflict nor a silent API server is in its way.

    It is called anew for so long; then the last APIError is raised. So it has to begin with
    reading, and to bear that its last write was done and only the answer was lost.
    """
    problem = APIError(f"the API server did not answer for {seconds:.0f} s")
    try:
        async with asyncio.timeout(seconds):
            for failures in itertools.count():
                try:
                    return await attempt()
                except APIError as error:
                    if not (error.passing or isinstance(error, ConflictError)):
                        raise
                    problem = error
                await asyncio.sleep(_pause_seconds(problem, failures))
    except TimeoutError:
        pass
    raise problem


def _pause_seconds(problem: APIError, failures: int) -> float:
    is_conflict = isinstance(problem, ConflictError)
    first, longest = _CONFLICT_SECONDS if is_conflict else _AWAY_SECONDS
    pause: float = min(first * 2.0 ** min(failures, 10), longest)
    return pause * random.uniform(0.5, 1.0)  # noqa: S311
