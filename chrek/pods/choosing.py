"""Which container of an annotated pod is meant."""

from collections.abc import Sequence

from chrek.pods import names
from chrek.pods.wish import Wish, WishError


def chosen(
    listed: Sequence[str], wish: Wish, default: str | None, before: str | None = None
) -> int:
    """The place of one of the `listed` names. default: what kubectl takes. before: what was chosen
    an admission ago. Raises WishError.
    """
    if wish.container is not None and wish.container not in listed:
        raise WishError(f"{names.CONTAINER} is {wish.container}, and the pod has no such container")
    for name in (wish.container, before, "main", default):
        if name is not None and name in listed:
            return listed.index(name)
    if not listed:
        raise WishError("the pod has no containers")
    return 0
