"""The command line: what can be asked, in words for a newcomer."""

import argparse
from pathlib import Path

import chrek

EXIT_CODES = """\
exit codes:
  0  done
  1  failed; the reason is on stderr, and nothing was lost
  2  the command line makes no sense
  3  this machine cannot do it (`chrek check` says what is missing)
  4  restore: the checkpoint could not be used, the container started cold
"""

_EPILOG = f"""\
a first try:
  chrek run --name web -- python3 -m http.server 8000
  chrek checkpoint web --as warm        (web goes on serving)
  chrek restore warm --count 3          (three replicas, already warm)
  chrek ps

{EXIT_CODES}"""


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    top = argparse.ArgumentParser(
        prog="chrek",
        description="Checkpoint a warmed-up program once; start it warm every time after.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="version", version=f"chrek {chrek.__version__}")
    top.add_argument(
        "--root",
        type=Path,
        default=None,
        metavar="DIR",
        help="where containers and checkpoints live (CHREK_ROOT, else /var/lib/chrek)",
    )
    top.add_argument(
        "-v", "--verbose", action="count", default=0, help="log each phase (-vv: everything)"
    )
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True)
    _run(commands)
    _checkpoint(commands)
    _restore(commands)
    _listing(commands)
    _containers(commands)
    _stored(commands)
    _add(commands, "check", "is this machine able? each 'no' with its cure", json=True)
    return top


def _add(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
    name: str,
    text: str,
    *,
    json: bool,
) -> argparse.ArgumentParser:
    made = commands.add_parser(
        name,
        help=text,
        description=text[0].upper() + text[1:] + ".",
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    if json:
        made.add_argument("--json", action="store_true", help="print JSON")
    return made


def _net(made: argparse.ArgumentParser, default: str | None, text: str) -> None:
    made.add_argument("--net", choices=("host", "private"), default=default, help=text)


def _run(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    made = _add(commands, "run", "run a command in a container over this machine", json=True)
    made.add_argument("--name", required=True, help="name of the container; also its host name")
    _net(made, "private", "private (default): own address; host: the machine's network")
    made.add_argument(
        "--env", action="append", default=[], metavar="NAME[=VALUE]",
        help="environment variable; without a value, this shell's. Unasked, only PATH, HOME, LANG, "
        "LC_ALL and TZ are passed on: the environment ends up in the checkpoint",
    )  # fmt: skip
    made.add_argument(
        "--volume", action="append", default=[], metavar="SRC:DST[:ro]",
        help="a directory or file of this machine inside the container",
    )  # fmt: skip
    made.add_argument("--cwd", type=Path, default=None, metavar="DIR", help="default: this one")
    made.add_argument("--user", default="0", metavar="UID[:GID]", help="numbers; default 0")
    made.add_argument(
        "--cap-drop", action="append", default=[], metavar="CAP", help="CAP_NAME or ALL"
    )
    made.add_argument(
        "--seccomp", type=Path, default=None, metavar="FILE",
        help="an OCI seccomp profile (the `seccomp` object, JSON)",
    )  # fmt: skip
    made.add_argument("--read-only", action="store_true", help="a root that cannot be written")
    made.add_argument(
        "--memory", default="0", metavar="BYTES", help="limit; k, m, g are understood"
    )
    made.add_argument(
        "--gpus", default="", metavar="all|GPU[,GPU]",
        help="GPUs for the container: all of this machine's, or some by UUID or number",
    )  # fmt: skip
    made.add_argument("argv", nargs="+", metavar="CMD", help="after --, with its arguments")


def _checkpoint(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    made = _add(commands, "checkpoint", "checkpoint a running container, which runs on", json=True)
    made.add_argument("name", metavar="NAME", help="the container")
    made.add_argument(
        "--as", dest="identifier", default=None, metavar="ID",
        help="name of the checkpoint (default: derived from what runs)",
    )  # fmt: skip
    made.add_argument("--replace", action="store_true", help="take the place of an existing one")
    made.add_argument(
        "--compress", default=None, metavar="CODEC[:LEVEL]",
        help="large memory: zstd, lz4 or none (default: as CHREK_COMPRESSION says, else none)",
    )  # fmt: skip
    made.add_argument(
        "--exit", action="store_true", help="end the container with 0 once it is published"
    )


def _restore(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    made = _add(commands, "restore", "start containers warm from a checkpoint", json=True)
    made.add_argument("identifier", metavar="ID", help="the checkpoint (see `chrek ls`)")
    made.add_argument("--name", default=None, help="name of the container (default: ID-1, ...)")
    made.add_argument("--count", type=int, default=1, metavar="K", help="how many (default 1)")
    _net(made, None, "default: as the source had it")
    made.add_argument(
        "--gpus", default="", metavar="all|GPU[,GPU]",
        help="other GPUs than the source's, as many, of the same product (default: the same)",
    )  # fmt: skip
    made.add_argument(
        "--on-failure", choices=("cold-start", "fail"), default="cold-start",
        help="when the checkpoint cannot be used: run the command cold (default), or nothing",
    )  # fmt: skip


def _listing(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    _add(commands, "ls", "list checkpoints", json=True)
    _add(commands, "ps", "list containers and their addresses", json=True)


def _containers(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    made = _add(commands, "logs", "print what a container wrote on stdout and stderr", json=False)
    made.add_argument("name", metavar="NAME")
    made.add_argument("-f", "--follow", action="store_true", help="go on until it ends")
    made = _add(commands, "stop", "end a container (SIGTERM, SIGKILL) and forget it", json=True)
    made.add_argument("name", metavar="NAME", nargs="+")
    made.add_argument(
        "--time", type=float, default=10.0, metavar="SECONDS", help="grace (default 10)"
    )


def _stored(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    for name, text in (
        ("inspect", "show a checkpoint: processes, sizes, facts, phases"),
        ("verify", "read every byte of a checkpoint and compare its hash"),
    ):
        made = _add(commands, name, text, json=True)
        made.add_argument("identifier", metavar="ID")
        if name == "inspect":
            made.add_argument(
                "--timeline", action="store_true",
                help="only the phases as bars: of its capture, and of each restore from it whose "
                "container is here",
            )  # fmt: skip
    made = _add(commands, "rm", "delete checkpoints", json=True)
    made.add_argument("identifier", metavar="ID", nargs="+")
