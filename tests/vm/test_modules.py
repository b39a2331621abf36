"""Kernel modules that nothing has loaded since the machine started, as on a fresh node."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.machine import diag
from tests.machine.conftest import Chrek

KERNELS_MODPROBE = Path("/proc/sys/kernel/modprobe")
FORBIDDEN = Path("/etc/modprobe.d/chrek-test.conf")
QUESTION = "socket modules"


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    """None of them is loaded, and afterwards the kernel loads them again by itself."""
    by_itself = KERNELS_MODPROBE.read_text()
    subprocess.run(["modprobe", "--remove", "--all", *diag.MODULES], check=True)
    assert not _loaded()
    yield
    KERNELS_MODPROBE.write_text(by_itself)
    FORBIDDEN.unlink(missing_ok=True)


def test_they_are_loaded_and_named(chrek: Chrek) -> None:
    answer = _asked(chrek)
    assert answer["verdict"] == "yes"
    assert answer["found"].endswith(f"loaded just now: {', '.join(diag.MODULES)}")
    assert _loaded() == set(diag.MODULES)


def test_they_are_loaded_where_the_kernel_does_not_by_itself(chrek: Chrek) -> None:
    KERNELS_MODPROBE.write_text("\n")
    assert _asked(chrek)["verdict"] == "yes"
    assert _loaded() == set(diag.MODULES)


def test_an_agent_without_modprobe_and_modules_loads_those_of_the_machine(tmp_path: Path) -> None:
    """In another root directory, in a mount namespace of its own: as in the agent's container."""
    KERNELS_MODPROBE.write_text("\n")
    root = tmp_path / "root"
    root.mkdir()
    script = f"""
        mount -t tmpfs -o size=8m tmpfs {tmp_path}
        mkdir -p {root} {tmp_path}/upper {tmp_path}/work
        mount -t overlay -o lowerdir=/,upperdir={tmp_path}/upper,workdir={tmp_path}/work none {root}
        mount -t proc proc {root}/proc
        rm -rf {root}/usr/lib/modules {root}/usr/sbin/modprobe
        exec chroot {root} env PYTHONPATH={":".join(filter(None, sys.path))} \\
            {sys.executable} -c 'from agent.machine import modules; print(modules.ensured())'
    """
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-e", "-c", script],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "missing=()" in done.stdout, done.stdout + done.stderr
    assert _loaded() == set(diag.MODULES)


def test_those_that_cannot_be_had_are_named_with_modprobes_words(chrek: Chrek) -> None:
    FORBIDDEN.write_text("install tcp_diag /bin/false\ninstall nf_tables /bin/false\n")
    answer = _asked(chrek, code=3)
    assert answer["verdict"] == "no"
    assert answer["found"].startswith("missing: tcp_diag nf_tables (modprobe: ")
    assert answer["cure"] == "Load them: modprobe -a tcp_diag nf_tables"


def _asked(chrek: Chrek, code: int = 0) -> dict[str, str]:
    answers: list[dict[str, str]] = chrek("check", "--json", code=code).json
    return next(answer for answer in answers if answer["question"] == QUESTION)


def _loaded() -> set[str]:
    lines = Path("/proc/modules").read_text().splitlines()
    return {line.partition(" ")[0] for line in lines} & set(diag.MODULES)
