"""The images, built by tests/cluster's builder, unpacked, and run by runc as a kubelet would.

Building takes minutes and a network, so it is asked for: CHREK_BUILD_IMAGES=1.
"""

import json
import os
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from agent.runtime.runc import spec
from chrek.runspec import RunSpec

Unpack = Callable[[str], "Unpacked"]

# By their numbers in linux/capability.h.
CAPABILITIES = """
    CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE
    NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO
    SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME
    SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP
""".split()  # noqa: SIM905


@dataclass(frozen=True)
class Unpacked:
    """One image: its root file system, and its OCI configuration."""

    root: Path
    whole: dict[str, Any]

    @property
    def config(self) -> dict[str, Any]:
        """What of the configuration a container gets: user, entry point, environment, ..."""
        kept: dict[str, Any] = {
            name: value for name, value in self.whole["config"].items() if value
        }
        kept.get("Labels", {}).pop("io.buildah.version", None)
        return kept

    def run(
        self,
        *argv: str,
        uid: int = 65532,
        privileged: bool = False,
        mounts: Mapping[Path, str] = MappingProxyType({}),
    ) -> subprocess.CompletedProcess[str]:
        """Run a command on a read-only root; unprivileged as Pod Security `restricted` has it."""
        # A directory beside the root: runc wants the configuration in a file of this name.
        with tempfile.TemporaryDirectory(dir=self.root.parent, prefix="run-") as name:
            (Path(name) / "config.json").write_text(
                json.dumps(self._configuration(list(argv), uid, privileged, mounts))
            )
            (Path(name) / "rootfs").symlink_to(self.root)
            return subprocess.run(
                ["runc", "run", "--bundle", name, Path(name).name],
                capture_output=True, text=True, timeout=120, check=False,
            )  # fmt: skip

    def _configuration(
        self, argv: list[str], uid: int, privileged: bool, mounts: Mapping[Path, str]
    ) -> dict[str, Any]:
        env = dict(entry.split("=", 1) for entry in self.config["Env"])
        asked = RunSpec(
            argv=argv, env=env, cwd="/", uid=uid, gid=uid, network="host", read_only=True,
            drop_capabilities=["ALL"],
        )  # fmt: skip
        made = spec.configuration(
            asked, argv=argv, hostname="test", cgroup=f"chrek-test-{uuid.uuid4().hex[:8]}",
            chrek_dir=str(self.root.parent), hosts="/etc/hosts",
        )  # fmt: skip
        made["root"]["path"] = str(self.root)
        if privileged:
            held = capabilities()
            kinds = ("bounding", "effective", "permitted", "inheritable")
            made["process"]["capabilities"] = dict.fromkeys(kinds, held)
            made["linux"] |= {"maskedPaths": [], "readonlyPaths": []}
        for source, target in mounts.items():
            bind = {"destination": target, "type": "none", "source": str(source)}
            made["mounts"].append(bind | {"options": ["bind", "rw"]})
        return made


def capabilities() -> list[str]:
    """All that root has on this machine, as a privileged pod has them."""
    lines = Path("/proc/self/status").read_text().splitlines()
    held = int(next(line.split()[1] for line in lines if line.startswith("CapBnd:")), 16)
    return [f"CAP_{name}" for bit, name in enumerate(CAPABILITIES) if held >> bit & 1]


def _unpack(archive: Path, top: Path) -> Unpacked:
    """A docker-archive, its layers one over the other."""
    packed, root = top / "packed", top / "root"
    packed.mkdir()
    root.mkdir()
    subprocess.run(["tar", "-x", "-C", packed, "-f", archive], check=True)
    (described,) = json.loads((packed / "manifest.json").read_text())
    configuration = json.loads((packed / described["Config"]).read_text())
    for layer in described["Layers"]:
        command = ["tar", "-t", "-f", packed / layer]
        listed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        for removed in [Path(line) for line in listed.splitlines() if "/.wh." in f"/{line}"]:
            gone = root / removed.with_name(removed.name.removeprefix(".wh."))
            shutil.rmtree(gone) if gone.is_dir() else gone.unlink(missing_ok=True)
        command = ["tar", "-x", "-p", "-C", root, "--exclude=.wh.*", "-f", packed / layer]
        subprocess.run(command, check=True)
    shutil.rmtree(packed)
    return Unpacked(root, configuration)


@pytest.fixture(scope="session")
def image() -> Iterator[Unpack]:
    """Builds and unpacks images by the keys of tests/cluster/build-images."""
    if os.environ.get("CHREK_BUILD_IMAGES") != "1":
        pytest.skip("builds images for minutes: set CHREK_BUILD_IMAGES=1")
    if os.geteuid() != 0 or not all(map(shutil.which, ("buildah", "debootstrap", "runc"))):
        pytest.skip("needs root, buildah, debootstrap and runc")
    from tests.cluster import building  # noqa: PLC0415
    from tests.cluster.images import all_images  # noqa: PLC0415

    top = Path(tempfile.mkdtemp(prefix="chrek-images-", dir="/var/lib"))
    top.chmod(0o755)
    made: dict[str, Unpacked] = {}

    def unpacked(key: str) -> Unpacked:
        if key not in made:
            building.build([key])
            (top / key).mkdir()
            made[key] = _unpack(building.archive(all_images()[key]), top / key)
        return made[key]

    yield unpacked
    shutil.rmtree(top)
