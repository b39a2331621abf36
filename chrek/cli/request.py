"""From the words of `chrek run` to a RunSpec, checked."""

import argparse
import json
import os
from pathlib import Path

from agent.runtime.runc.spec import sees
from chrek.errors import UsageError
from chrek.names import CHREK_DIR
from chrek.runspec import RunSpec, Volume

# What a program needs to be itself; anything else of this shell may be a secret, and what is in
# the environment is in the checkpoint.
_PASSED = ("PATH", "HOME", "LANG", "LC_ALL", "TZ")
_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
_MOST_ID = 1 << 31


def run_spec(asked: argparse.Namespace) -> RunSpec:
    """The container asked for; raises UsageError."""
    volumes = [_volume(text) for text in asked.volume]
    uid, gid = _user(asked.user)
    cwd = asked.cwd or Path.cwd()
    if not cwd.is_absolute():
        raise UsageError(f"--cwd {cwd} is not an absolute path")
    _visible(cwd, volumes)
    env = _environment(asked.env)
    _textual("the command", asked.argv)
    _textual("--env", [f"{name}={value}" for name, value in env.items()])
    _textual("--volume or --cwd", [*asked.volume, str(cwd)])
    return RunSpec(
        argv=asked.argv,
        env=env,
        cwd=str(cwd),
        uid=uid,
        gid=gid,
        network=asked.net,
        volumes=volumes,
        drop_capabilities=asked.cap_drop,
        read_only=asked.read_only,
        memory_bytes=_bytes(asked.memory),
        seccomp=_seccomp(asked.seccomp),
        gpus=asked.gpus.split(",") if asked.gpus else [],
    )


def _environment(asked: list[str]) -> dict[str, str]:
    env = {name: os.environ[name] for name in _PASSED if name in os.environ}
    env.setdefault("PATH", os.defpath)
    for text in asked:
        name, given, value = text.partition("=")
        if not name:
            raise UsageError(f"--env {text!r} has no name")
        if not given and name not in os.environ:
            raise UsageError(f"--env {name}: this shell has no such variable")
        env[name] = value if given else os.environ[name]
    return env


def _textual(what: str, texts: list[str]) -> None:
    """A runtime's configuration and a manifest are JSON: they hold text, not any bytes."""
    for text in texts:
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise UsageError(f"{what}: {text!r} is not UTF-8") from error


def _volume(text: str) -> Volume:
    source, _, rest = text.partition(":")
    target, _, mode = rest.partition(":")
    if not (source.startswith("/") and target.startswith("/")) or mode not in ("", "ro"):
        raise UsageError(f"--volume {text!r} is not /SRC:/DST or /SRC:/DST:ro")
    if not Path(source).exists():
        raise UsageError(f"--volume {text!r}: there is no {source}")
    target = os.path.normpath(f"/{target.lstrip('/')}")
    if target == "/" or Path(target).is_relative_to(CHREK_DIR):
        raise UsageError(f"--volume {text!r}: {target} is not a place for a volume")
    return Volume(source, target, mode == "ro")


def _user(text: str) -> tuple[int, int]:
    uid, _, gid = text.partition(":")
    numbers = (uid, gid or uid)
    if not all(_is_number(number) and int(number) < _MOST_ID for number in numbers):
        raise UsageError(f"--user {text!r} is not UID or UID:GID, in numbers")
    return int(numbers[0]), int(numbers[1])


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _bytes(text: str) -> int:
    digits = text.rstrip("kmgKMG")
    unit = text[len(digits) :].lower()
    if not _is_number(digits) or unit not in _UNITS:
        raise UsageError(f"--memory {text!r} is not a number with k, m or g")
    return int(digits) * _UNITS[unit]


def _seccomp(path: Path | None) -> dict[str, object] | None:
    if path is None:
        return None
    try:
        profile = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise UsageError(f"--seccomp {path}: {error}") from error
    if not isinstance(profile, dict) or "defaultAction" not in profile:
        raise UsageError(f"--seccomp {path} is no OCI seccomp object")
    return profile


def _visible(cwd: Path, volumes: list[Volume]) -> None:
    try:
        visible = sees(cwd, volumes)
    except OSError as error:
        raise UsageError(f"--cwd {cwd}: {error.strerror}") from error
    if not visible:
        raise UsageError(
            f"a container does not see {cwd}: it has the machine's root file system and a /tmp and "
            "/run of its own",
            hint=f"Add --volume {cwd}:{cwd}, or choose a --cwd",
        )
