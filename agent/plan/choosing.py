"""Which container of an annotated pod is meant, by the same rule as admission's."""

from collections.abc import Sequence

from chrek.pods import names
from chrek.pods.wish import Wish, WishError


def chosen(listed: Sequence[str], wish: Wish, default: str | None) -> str:
    """One of the `listed` names. default: what kubectl takes. Raises WishError."""
    if wish.container is not None and wish.container not in listed:
        raise WishError(f"{names.CONTAINER} is {wish.container}, and the pod has no such container")
    for name in (wish.container, "main", default):
        if name is not None and name in listed:
            return name
    if not listed:
        raise WishError("the pod has no containers")
    return listed[0]
