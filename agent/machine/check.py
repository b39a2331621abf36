"""Every question of `chrek check`, in the order in which a person would ask."""

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import msgspec

from agent.criu import bundle
from agent.cuda import known
from agent.init import binary
from agent.machine import diag, modules
from chrek.errors import ChrekError, MachineError

Verdict = Literal["yes", "no", "note"]
_OLDEST_KERNEL = (5, 12)
_OLDEST_CRIU = (4, 2)
_CAP_SYS_RESOURCE = 24
_NEEDED_CAPABILITIES = {"CAP_SYS_ADMIN": 21, "CAP_SYS_PTRACE": 19, "CAP_NET_ADMIN": 12}


class Answer(msgspec.Struct, frozen=True):
    """One question's answer. verdict: `note` is worth knowing and stops nothing."""

    question: str
    verdict: Verdict
    found: str
    cure: str = ""


def answers() -> list[Answer]:
    """All answers."""
    questions: list[Callable[[], Answer]] = [
        _kernel,
        _rights,
        _limits,
        _overlay,
        _cgroups,
        _runc,
        _network_tools,
        _init,
        _criu,
        _sockets,
        _criu_check,
        _huge_pages,
        _gpu,
    ]
    return [question() for question in questions]


def _version(text: str) -> tuple[int, ...]:
    found = re.match(r"(\d+)\.(\d+)", text)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def _kernel() -> Answer:
    release = os.uname().release
    able = _version(release) >= _OLDEST_KERNEL
    cure = "" if able else "Use a kernel of 5.12 or newer (entering by pidfd, mount_setattr)"
    return Answer("kernel", "yes" if able else "no", release, cure)


def _held() -> int:
    text = Path("/proc/self/status").read_text()
    line = next(row for row in text.splitlines() if row.startswith("CapEff:"))
    return int(line.split()[1], 16)


def _rights() -> Answer:
    held = _held()
    missing = [name for name, bit in _NEEDED_CAPABILITIES.items() if not held >> bit & 1]
    if os.geteuid() != 0 or missing:
        return Answer("rights", "no", ", ".join(missing) or "not root", "Run as root (sudo)")
    return Answer("rights", "yes", "root")


def _limits() -> Answer:
    if _held() >> _CAP_SYS_RESOURCE & 1:
        return Answer("CAP_SYS_RESOURCE", "yes", "held")
    return Answer(
        "CAP_SYS_RESOURCE",
        "note",
        "missing: programs of another user than root cannot be captured",
        "Run on a machine, or in a privileged pod, that has it",
    )


def _overlay() -> Answer:
    known = _filesystem("overlay")
    why = "" if known else modules.load(["overlay"])
    if known or _filesystem("overlay"):
        return Answer("overlayfs", "yes", "known")
    return Answer("overlayfs", "no", f"unknown: {why or 'not there'}", "Load it: modprobe overlay")


def _filesystem(name: str) -> bool:
    return f"\t{name}\n" in Path("/proc/filesystems").read_text()


def _cgroups() -> Answer:
    if Path("/sys/fs/cgroup/cgroup.controllers").exists():
        return Answer("cgroups", "yes", "v2")
    if Path("/sys/fs/cgroup/memory").is_dir():
        return Answer("cgroups", "yes", "v1")
    return Answer("cgroups", "no", "not mounted", "Mount /sys/fs/cgroup, as systemd does")


def _first_line(command: list[str]) -> str | None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return None
    return done.stdout.partition("\n")[0] if done.returncode == 0 else None


def _runc() -> Answer:
    found = _first_line(["runc", "--version"])
    return Answer(
        "runc", "yes" if found else "no", found or "missing", "" if found else "apt install runc"
    )


def _network_tools() -> Answer:
    missing = [name for name in ("ip", "nsenter") if not shutil.which(name)]
    cure = "apt install iproute2 util-linux" if missing else ""
    found = f"missing: {', '.join(missing)}" if missing else "ip, nsenter"
    return Answer("network tools", "no" if missing else "yes", found, cure)


def _init() -> Answer:
    try:
        return Answer("chrek-init", "yes", binary.version())
    except (MachineError, OSError, subprocess.CalledProcessError) as error:
        return Answer("chrek-init", "no", str(error), "Run `make init`")


def _criu() -> Answer:
    try:
        found = bundle.find()
    except MachineError as error:
        return Answer("CRIU", "no", error.message, error.hint)
    able = _version(found.criu_version) >= _OLDEST_CRIU
    return Answer(
        "CRIU",
        "yes" if able else "no",
        f"{found.criu_version}, {found.path}",
        "" if able else "Run `make bundle` for 4.2 or newer",
    )


def _sockets() -> Answer:
    found = modules.ensured()
    if found.missing:
        names = " ".join(found.missing)
        why = f" ({found.why})" if found.why else ""
        return Answer(
            "socket modules", "no", f"missing: {names}{why}", f"Load them: modprobe -a {names}"
        )
    loaded = f"; loaded just now: {', '.join(found.loaded)}" if found.loaded else ""
    return Answer("socket modules", "yes", f"{', '.join(diag.MODULES)}{loaded}")


def _criu_check() -> Answer:
    try:
        command = [*bundle.find().command(), "--no-default-config", "check"]
    except (MachineError, StopIteration):
        return Answer("criu check", "no", "no CRIU to ask", "Run `make bundle`")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    said = [line for line in done.stderr.splitlines() + done.stdout.splitlines() if line.strip()]
    if done.returncode == 0:
        return Answer("criu check", "yes", said[-1] if said else "looks good")
    errors = [line for line in said if "Error" in line] or said
    return Answer("criu check", "no", errors[0] if errors else "failed", "See docs/limits.md")


def _huge_pages() -> Answer:
    try:
        text = Path("/sys/kernel/mm/transparent_hugepage/enabled").read_text()
    except FileNotFoundError:
        return Answer("huge pages", "note", "the kernel has none", "Restores of GBs are slower")
    chosen = re.search(r"\[(\w+)\]", text)
    mode = chosen[1] if chosen else "unknown"
    if mode == "never":
        cure = "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled"
        return Answer("huge pages", "note", "never: large restores are slower", cure)
    return Answer("huge pages", "yes", mode)


def _gpu() -> Answer:
    version = known.driver_version()
    if not version:
        return Answer("GPU driver", "note", "no NVIDIA driver: programs without a GPU only")
    try:
        known.refuse_driver(version)
    except ChrekError as error:
        return Answer("GPU driver", "note", error.message, error.hint)
    return Answer("GPU driver", "yes", version)
