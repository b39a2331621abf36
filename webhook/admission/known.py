"""What is known of a namespace when a pod is created in it: values, taken from the watches."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from chrek.pods.refusals import SANDBOXED


@dataclass(frozen=True, slots=True)
class Claim:
    """A PersistentVolumeClaim. storage_class: "" for none. block: it has no file system."""

    name: str
    phase: str
    access_modes: frozenset[str]
    terminating: bool = False
    storage_class: str = ""
    block: bool = False


@dataclass(frozen=True, slots=True)
class ImageConfig:
    """What an image's own configuration says of the command."""

    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A Checkpoint object. usable: some variant of it can be restored. identity: of the pod that
    it was made from, "" while unknown. cold_start_seconds: how long that pod took to be warm.
    """

    name: str
    usable: bool
    identity: str = ""
    cold_start_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Known:
    """One namespace. late_binding: storage classes that bind a claim once a pod needs it.
    images: image as written -> its configuration, where it was learned.
    """

    namespace: str
    annotations: Mapping[str, str] = field(default_factory=dict)
    checkpoints: Mapping[str, Checkpoint] = field(default_factory=dict)
    claims: Mapping[str, Claim] = field(default_factory=dict)
    late_binding: frozenset[str] = frozenset()
    images: Mapping[str, ImageConfig] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Options:
    """How this installation takes pods on. init_image: of the injected init container.
    sandboxed: fnmatch patterns of runtime classes that CRIU cannot look into. seccomp_profile:
    Localhost profile for chosen containers that name none; "" leaves them alone.
    """

    init_image: str
    allow_read_write_once: bool = False
    sandboxed: tuple[str, ...] = SANDBOXED
    seccomp_profile: str = ""
