"""What the agent is told on its command line, validated once."""

import argparse
import logging
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NoReturn

import chrek
from chrek import ids

_LEVELS: Final = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}
_NODE = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")
_LAST_PORT = 65535


@dataclass(frozen=True, slots=True)
class Flags:
    """node_name: the Node this process stands on. watch_namespace: whose pods it takes on; empty
    for every labelled namespace. seccomp_dir: the kubelet's seccomp directory of the node, as
    mounted here. status_port: of /healthz and /readyz; 0 lets the kernel choose.
    """

    node_name: str
    watch_namespace: str
    seccomp_dir: Path
    status_port: int
    log_level: int


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(2, f"chrek-agent: {message} (--help names what there is)\n")


def parse(arguments: list[str] | None = None) -> Flags:
    """The flags; nonsense ends the process with 2 and a sentence."""
    parser = _Parser(
        prog="python -m agent",
        description="The chrek agent of one node. This version prepares the node and says whether"
        " it is able; it captures and restores nothing in a cluster yet.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"chrek {chrek.__version__}")
    parser.add_argument(
        "--node-name", required=True, type=_node, metavar="NAME", help="the node's name"
    )
    parser.add_argument(
        "--watch-namespace",
        default="",
        type=_namespace,
        metavar="NS",
        help="namespace whose pods it takes on (default: every labelled one)",
    )
    parser.add_argument(
        "--seccomp-dir",
        required=True,
        type=_directory,
        metavar="DIR",
        help="the kubelet's seccomp directory, as mounted here",
    )
    parser.add_argument(
        "--status-port", default=8081, type=_port, metavar="PORT", help="/healthz, /readyz (8081)"
    )
    parser.add_argument("--log-level", default="info", choices=_LEVELS, help="default: info")
    asked = parser.parse_args(arguments)
    return Flags(
        node_name=asked.node_name,
        watch_namespace=asked.watch_namespace,
        seccomp_dir=asked.seccomp_dir,
        status_port=asked.status_port,
        log_level=_LEVELS[asked.log_level],
    )


def _node(text: str) -> str:
    if not _NODE.fullmatch(text):
        raise argparse.ArgumentTypeError(f"{text[:80]!r} is not a node's name")
    return text


def _namespace(text: str) -> str:
    if text and not ids.is_label(text):
        raise argparse.ArgumentTypeError(f"{text[:80]!r} is not a namespace's name")
    return text


def _directory(text: str) -> Path:
    if not Path(text).is_absolute() or "\0" in text:
        raise argparse.ArgumentTypeError(f"{text[:80]!r} is not an absolute path")
    return Path(text)


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text[:6]) <= _LAST_PORT):
        raise argparse.ArgumentTypeError(f"{text[:80]!r} is not a port")
    return int(text)
