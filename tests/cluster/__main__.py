"""python -m tests.cluster up | down | status | logs [NAME] | kubeconfig | enter COMMAND..."""

import argparse
import os
import sys
import time

from . import lifecycle, supervision
from . import node as nodes
from .errors import ClusterError
from .layout import KUBECONFIG, LOGS


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.cluster", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("up", help="start the cluster, or what is missing of it")
    down = verbs.add_parser("down", help="end it and remove everything but its logs")
    down.add_argument("--force", action="store_true", help="even if a test run uses it")
    verbs.add_parser("status", help="each part, and how it is")
    verbs.add_parser("kubeconfig", help="print the path of its kubeconfig")
    logs = verbs.add_parser("logs", help="the ends of the logs, or one log")
    logs.add_argument("name", nargs="?")
    enter = verbs.add_parser("enter", help="run a command on the node")
    enter.add_argument("command", nargs=argparse.REMAINDER)
    chosen = parser.parse_args()
    try:
        return VERBS[chosen.verb](chosen)
    except ClusterError as error:
        print(f"cluster: {error}", file=sys.stderr)
        return 1


def _up(_: argparse.Namespace) -> int:
    began = time.monotonic()
    lifecycle.up(lambda text: print(f"cluster: {text}", file=sys.stderr))
    print(f"cluster: is up ({time.monotonic() - began:.1f} s)", file=sys.stderr)
    print(f"export KUBECONFIG={KUBECONFIG}")
    return 0


def _down(chosen: argparse.Namespace) -> int:
    print(f"cluster: {'is' if lifecycle.down(chosen.force) else 'was'} down", file=sys.stderr)
    return 0


def _status(_: argparse.Namespace) -> int:
    parts = lifecycle.status()
    for name, how in parts.items():
        print(f"{name:24} {how}")
    return 0 if all(how.startswith(("up", "well")) for how in parts.values()) else 1


def _kubeconfig(_: argparse.Namespace) -> int:
    print(KUBECONFIG)
    return 0


def _logs(chosen: argparse.Namespace) -> int:
    if chosen.name:
        print((LOGS / f"{chosen.name}.log").read_text(errors="replace"), end="")
        return 0
    for log in sorted(LOGS.glob("*.log")):
        print(f"{supervision.tail(log)}\n")
    return 0


def _enter(chosen: argparse.Namespace) -> int:
    node = nodes.find()
    if not node:
        raise ClusterError("the node does not run")
    command = node.command(*(chosen.command or ["bash"]))
    os.execvp(command[0], command)


VERBS = {
    "up": _up,
    "down": _down,
    "status": _status,
    "kubeconfig": _kubeconfig,
    "logs": _logs,
    "enter": _enter,
}

if __name__ == "__main__":
    sys.exit(main())
