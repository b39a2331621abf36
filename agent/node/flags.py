"""What the agent is told on its command line, validated once."""

import argparse
import logging
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, NoReturn

import chrek
from agent.node import flag_checks as check
from chrek.compression import Compression
from chrek.pods.refusals import SANDBOXED

_LEVELS: Final = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}
_FEWEST_RESTORES: Final = 2


@dataclass(frozen=True, slots=True)
class Work:
    """restores, captures: at once on this node. idle_wait_seconds: so long a capture waits for a
    moment without an inbound connection. files_limit_bytes: most that a container may have
    written to be captured.
    """

    restores: int
    captures: int = 1
    idle_wait_seconds: float = 60.0
    files_limit_bytes: int = 2 << 30


@dataclass(frozen=True, slots=True)
class Retention:
    """keep: the newest so many of a workload. claim_bytes: of checkpoints in one claim; 0 for no
    bound. init_image: of the pods that mount a claim to clean it, where no other pod does.
    """

    keep: int
    claim_bytes: int
    init_image: str


@dataclass(frozen=True, slots=True)
class Cache:
    """path: the node's own directory for checkpoints, as mounted here. size_bytes: most that copies
    take in it; 0: it is not used."""

    path: Path = Path("/var/cache/chrek")
    size_bytes: int = 20 << 30


@dataclass(frozen=True, slots=True)
class Flags:
    """node_name: the Node this process stands on. watch_namespace: whose pods it takes on; empty
    for every labelled namespace. release_namespace: where `signing_secret`, with the keys of
    checkpoints, is. cri_socket: of the node's runtime, a path on the host; None to look for it.
    seccomp_dir: the kubelet's seccomp directory of the node, as mounted here. status_port: of
    /healthz, /readyz and /metrics; 0 lets the kernel choose. sandboxed: fnmatch patterns of runtime
    classes that CRIU cannot look into, the webhook's own. compression: of large memory on claims.
    """

    node_name: str
    watch_namespace: str
    release_namespace: str
    signing_secret: str
    cri_socket: Path | None
    seccomp_dir: Path
    status_port: int
    log_level: int
    sandboxed: tuple[str, ...]
    compression: Compression | None
    work: Work
    retention: Retention
    cache: Cache


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(2, f"chrek-agent: {message} (--help names what there is)\n")


def parse(arguments: list[str] | None = None) -> Flags:
    """The flags; nonsense ends the process with 2 and a sentence."""
    asked = _parser().parse_args(arguments)
    return Flags(
        node_name=asked.node_name,
        watch_namespace=asked.watch_namespace,
        release_namespace=asked.release_namespace,
        signing_secret=asked.signing_secret,
        cri_socket=asked.cri_socket,
        seccomp_dir=asked.seccomp_dir,
        status_port=asked.status_port,
        log_level=_LEVELS[asked.log_level],
        sandboxed=tuple(asked.sandboxed_runtime_class or SANDBOXED),
        compression=asked.compression
        and replace(asked.compression, threads=asked.compression_threads),
        work=Work(
            restores=asked.restores or max(_FEWEST_RESTORES, len(os.sched_getaffinity(0))),
            captures=asked.captures,
            idle_wait_seconds=asked.idle_wait,
            files_limit_bytes=asked.files_limit,
        ),
        retention=Retention(
            keep=asked.keep, claim_bytes=asked.claim_bytes, init_image=asked.init_image
        ),
        cache=Cache(path=asked.node_cache, size_bytes=asked.node_cache_bytes),
    )


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m agent",
        description="The chrek agent of one node: captures pods that are warm, restores those"
        " that have a checkpoint.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"chrek {chrek.__version__}")
    _add_places(parser)
    _add_work(parser)
    _add_retention(parser)
    return parser


def _add_places(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("where it is").add_argument
    add("--node-name", required=True, type=check.name, metavar="NAME", help="the node's name")
    add("--watch-namespace", default="", type=check.namespace_or_none, metavar="NS",
        help="namespace whose pods it takes on (default: every labelled one)")  # fmt: skip
    add("--release-namespace", required=True, type=check.namespace, metavar="NS",
        help="its own namespace, where the Secret is")  # fmt: skip
    add("--signing-secret", required=True, type=check.name, metavar="NAME",
        help="Secret with the keys that sign checkpoints")  # fmt: skip
    add("--cri-socket", type=check.absolute, metavar="PATH",
        help="the runtime's socket on the host (default: looked for)")  # fmt: skip
    add("--seccomp-dir", required=True, type=check.absolute, metavar="DIR",
        help="the kubelet's seccomp directory, as mounted here")  # fmt: skip
    add("--node-cache", default=Cache().path, type=check.absolute, metavar="DIR",
        help="directory on the node's own disk for checkpoints, as mounted here"
        " (/var/cache/chrek)")  # fmt: skip
    add("--status-port", default=8081, type=check.port, metavar="PORT",
        help="/healthz, /readyz, /metrics (8081)")  # fmt: skip
    add("--sandboxed-runtime-class", action="append", type=check.pattern, metavar="PATTERN",
        help="runtime class it cannot look into, as the webhook's; given for each"
        f" (default: {', '.join(SANDBOXED)})")  # fmt: skip
    add("--log-level", default="info", choices=_LEVELS, help="default: info")


def _add_work(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("how much it does").add_argument
    add("--restores", default=0, type=check.count, metavar="N",
        help="restores at once (default 0: as many as cores, at least 2)")  # fmt: skip
    add("--captures", default=1, type=check.at_least_one, metavar="N",
        help="captures at once (1)")  # fmt: skip
    add("--idle-wait", default=60.0, type=check.seconds, metavar="SECONDS",
        help="so long a capture waits for no inbound connection (60)")  # fmt: skip
    add("--files-limit", default=2 << 30, type=check.byte_count, metavar="BYTES",
        help="most that a container may have written to be captured (2Gi)")  # fmt: skip


def _add_retention(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("what it keeps").add_argument
    add("--keep", default=2, type=check.at_least_one, metavar="N",
        help="the newest N checkpoints and variants of a workload (2)")  # fmt: skip
    add("--claim-bytes", default=0, type=check.byte_count, metavar="BYTES",
        help="bytes of checkpoints in one claim (default 0: no bound)")  # fmt: skip
    add("--node-cache-bytes", default=Cache().size_bytes, type=check.byte_count, metavar="BYTES",
        help="of copies in that directory (20Gi); 0: it is not used")  # fmt: skip
    add("--compression", type=check.compression, metavar="CODEC[:LEVEL]",
        help="of large memory in claims: none (default), zstd or lz4")  # fmt: skip
    add("--compression-threads", default=0, type=check.threads, metavar="N",
        help="that compress (default 0: as many as a quarter of the cores)")  # fmt: skip
    add("--init-image", required=True, type=check.image, metavar="IMAGE",
        help="of pods that mount a claim to clean it")  # fmt: skip
