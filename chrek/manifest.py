"""manifest.json: what a checkpoint is, for whom it fits, and the hash of every byte of it.

Written last. Readers of every format that chrek ever wrote stay in READERS.
"""

from collections.abc import Callable
from typing import Annotated, Final, Literal

import msgspec

from chrek.errors import DamagedError, FormatError
from chrek.names import FORMAT_VERSION
from chrek.runspec import RunSpec

MAX_BYTES: Final = 16 << 20
"""A manifest larger than this is not read."""

Size = Annotated[int, msgspec.Meta(ge=0)]
Pid = Annotated[int, msgspec.Meta(ge=1, le=1 << 22)]
Digest = Annotated[str, msgspec.Meta(pattern=r"^blake3(-1m)?:[0-9a-f]{64}\Z")]
"""Of all bytes; since format 3 also of the digests of all blocks of 1 MiB (agent.store.hashing)."""
FileName = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^(criu/[A-Za-z0-9_][A-Za-z0-9_.-]{0,120}|files\.tar\.zst|reaper-[0-9a-f]{16}"
        r"|pages\.idx|pages-[1-9][0-9]{0,8}\.bin)\Z"
    ),
]


class _Model(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    pass


Codec = Literal["zstd", "lz4"]
_SUFFIXES: Final[dict[Codec, str]] = {"zstd": ".zst", "lz4": ".lz4"}


class Compressed(_Model, frozen=True):
    """A file as it lies on a volume instead (agent.store.compressed). size_bytes: of that. table:
    digest of its last part, which has the digests of all others."""

    codec: Codec
    size_bytes: Size
    table: Annotated[str, msgspec.Meta(pattern=r"^blake3:[0-9a-f]{64}\Z")]


class StoredFile(_Model, frozen=True, omit_defaults=True):
    """One file of the checkpoint. size_bytes, digest: as it was written first. compressed: since
    format 4, of page files: then it may lie in the directory only like that."""

    name: FileName
    size_bytes: Size
    digest: Digest
    compressed: Compressed | None = None

    def compressed_name(self, codec: Codec) -> str:
        """Of the file that it is in when it is compressed."""
        return self.name + _SUFFIXES[codec]


class ProcessFact(_Model, frozen=True):
    """A process at the capture. pid and parent as the container counts them."""

    pid: Pid
    parent: Annotated[int, msgspec.Meta(ge=0)]
    name: str
    uid: Size
    threads: Size
    rss_bytes: Size


class AddressFact(_Model, frozen=True):
    """An address of the source's own. family: AF_INET or AF_INET6 by name."""

    interface: str
    family: Literal["inet", "inet6"]
    address: str


class MountFact(_Model, frozen=True):
    """A mount the source saw, chrek's own left out."""

    point: str
    filesystem: str
    read_only: bool


class FileRoot(_Model, frozen=True):
    """A writable file system whose content travels in files.tar.zst, by its place in the list.

    volume (since format 2): an emptyDir, which other containers of the pod may share and which
    outlives the container.
    """

    point: str
    kind: Literal["overlay", "tmpfs", "volume"]


class Facts(_Model, frozen=True):
    """What inspection found, for comparing and for people.

    stdio: where descriptors 0, 1, 2 of PID 1 led, e.g. `pipe:[123]` (kernel's notation).
    root_pid: PID of the dumped tree's root, the reaper. max_pid: highest PID or TID in the images.
    """

    architecture: str
    cpu_model: str
    cpu_features: list[str]
    kernel: str
    criu: str
    chrek_init: str
    reaper: Annotated[str, msgspec.Meta(pattern=r"^reaper-[0-9a-f]{16}\Z")]
    hostname: str
    uid: Size
    gid: Size
    root_pid: Pid
    max_pid: Pid
    stdio: list[str]
    addresses: list[AddressFact]
    mounts: list[MountFact]
    file_roots: list[FileRoot]
    processes: list[ProcessFact]
    cgroup_version: Literal[1, 2]


class PodFacts(_Model, frozen=True):
    """The pod that was captured; all empty on one machine.

    identity: chrek.pods.identity. image: as the pod names it; image_digest: what it was then.
    environment_hash: of what ConfigMaps and Secrets gave to the environment (agent.plan).
    cold_start_seconds: from the container's start until it was warm.
    """

    pod: str = ""
    pod_uid: str = ""
    container: str = ""
    node: str = ""
    identity: str = ""
    image: str = ""
    image_digest: str = ""
    environment_hash: str = ""
    cold_start_seconds: Annotated[float, msgspec.Meta(ge=0)] = 0.0


class GPUDevice(_Model, frozen=True):
    """A GPU that the source had. used_bytes: by its processes."""

    uuid: Annotated[str, msgspec.Meta(pattern=r"^GPU-[0-9a-f-]{36}\Z")]
    product: str
    memory_bytes: Size
    used_bytes: Size


class GPUProcess(_Model, frozen=True):
    """A process with a CUDA context. bytes: on all GPUs together."""

    pid: Pid
    bytes: Size


class GPUFacts(_Model, frozen=True):
    """The GPUs of the source, in the order in which it saw them, and who used them."""

    driver: str
    devices: list[GPUDevice]
    processes: list[GPUProcess]


class Manifest(_Model, frozen=True):
    """A checkpoint. created: RFC 3339, UTC. phases: seconds of the capture by phase.

    frozen_seconds: how long the source stood still, as CRIU measured it. pod, gpu: since format 2.
    """

    format: int
    id: str
    variant: str
    namespace: str
    created: str
    chrek: str
    source: str
    facts: Facts
    files: list[StoredFile]
    phases: dict[str, float]
    frozen_seconds: float
    spec: RunSpec | None = None
    pod: PodFacts = PodFacts()
    gpu: GPUFacts | None = None

    @property
    def size_bytes(self) -> int:
        """Bytes of the checkpoint on its volume, the manifest left out."""
        return sum((file.compressed or file).size_bytes for file in self.files)

    @property
    def unpacked_bytes(self) -> int:
        """The same on a node, where nothing is compressed."""
        return sum(file.size_bytes for file in self.files)


class _Format(msgspec.Struct):
    format: int


def _read(content: bytes) -> Manifest:
    found = msgspec.json.decode(content, type=Manifest)
    for file in found.files:
        if file.compressed and not (
            found.format >= _COMPRESSED and file.digest.startswith("blake3-1m:")
        ):
            raise DamagedError(f"manifest.json has {file.name} compressed, which it cannot be")
    return found


_COMPRESSED: Final = 4
READERS: Final[dict[int, Callable[[bytes], Manifest]]] = dict.fromkeys((1, 2, 3, 4), _read)
"""Format 1 knew no pods, 2 no pages outside of CRIU's images, 3 none that are compressed."""


def encode(manifest: Manifest) -> bytes:
    """The bytes of manifest.json."""
    return msgspec.json.format(msgspec.json.encode(manifest), indent=1) + b"\n"


def decode(content: bytes) -> Manifest:
    """A manifest of any format this chrek reads; raises FormatError or DamagedError."""
    try:
        number = msgspec.json.decode(content, type=_Format).format
        reader = READERS.get(number)
        if reader is None:
            raise FormatError(
                f"the checkpoint has format {number}, this chrek reads {sorted(READERS)}",
                hint="Use a newer chrek" if number > FORMAT_VERSION else "Capture it again",
            )
        return reader(content)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise DamagedError(f"manifest.json is not a manifest: {error}") from error
    except RecursionError as error:
        raise DamagedError("manifest.json is nested too deeply") from error
