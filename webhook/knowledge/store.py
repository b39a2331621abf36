"""The memory that watches fill and admissions read; one event loop uses it."""

import logging
from collections import ChainMap, defaultdict
from collections.abc import Callable, Iterable
from typing import Final, Generic, TypeVar

from chrek.kube.api import JSON
from chrek.kube.listwatch import Observer
from chrek.logs import event
from webhook.admission.known import Checkpoint, Claim, ImageConfig, Known
from webhook.knowledge import parse

_log = logging.getLogger("chrek.knowledge")

_T = TypeVar("_T")
_UNEXPECTED: Final = (AttributeError, KeyError, TypeError, ValueError, OverflowError)
"""One object of another form than its schema says must not end the watch of all others."""


class Kind(Generic[_T]):
    """Objects of one kind: namespace -> name -> what admission needs. Observes a watch."""

    def __init__(self, parsed: Callable[[JSON], _T]) -> None:
        self.found: dict[str, dict[str, _T]] = defaultdict(dict)
        self._parsed = parsed

    def replaced(self, objects: Iterable[JSON]) -> None:
        self.found.clear()
        for one in objects:
            self.changed(one)

    def changed(self, found: JSON) -> None:
        try:
            namespace, name = _key(found)
            self.found[namespace].pop(name, None)
            self.found[namespace][name] = self._parsed(found)
        except _UNEXPECTED as error:
            event(_log, logging.ERROR, "object not understood", problem=repr(error))

    def deleted(self, found: JSON) -> None:
        namespace, name = _key(found)
        self.found[namespace].pop(name, None)
        if not self.found[namespace]:
            del self.found[namespace]

    def of(self, namespace: str) -> dict[str, _T]:
        """All of one namespace; "" for what has none."""
        return self.found.get(namespace, {})


def _key(found: JSON) -> tuple[str, str]:
    metadata = found["metadata"]
    return str(metadata.get("namespace") or ""), str(metadata.get("name") or "")


class _Both:
    """Tells two observers."""

    def __init__(self, first: Observer, second: Observer) -> None:
        self._observers = (first, second)

    def replaced(self, objects: Iterable[JSON]) -> None:
        listed = list(objects)
        for observer in self._observers:
            observer.replaced(listed)

    def changed(self, found: JSON) -> None:
        for observer in self._observers:
            observer.changed(found)

    def deleted(self, found: JSON) -> None:
        for observer in self._observers:
            observer.deleted(found)


class Store:
    """Everything that is known. checkpoint_objects: the observer of Checkpoints."""

    def __init__(self) -> None:
        self.claims: Kind[Claim] = Kind(parse.claim)
        self.namespaces: Kind[dict[str, str]] = Kind(parse.annotations)
        self.classes: Kind[str | None] = Kind(parse.late_binding)
        self._checkpoints: Kind[Checkpoint] = Kind(parse.checkpoint)
        self._images: Kind[dict[str, ImageConfig]] = Kind(parse.images)
        self.checkpoint_objects: Observer = _Both(self._checkpoints, self._images)

    def known(self, namespace: str) -> Known:
        """What is known of `namespace` now."""
        return Known(
            namespace=namespace,
            annotations=self.namespaces.of("").get(namespace, {}),
            checkpoints=self._checkpoints.of(namespace),
            claims=self.claims.of(namespace),
            late_binding=frozenset(name for name in self.classes.of("").values() if name),
            images=ChainMap(*self._images.of(namespace).values()),
        )
