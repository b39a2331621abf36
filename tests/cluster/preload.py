"""CRIU for tests on a machine without CAP_SYS_RESOURCE, which real privileged pods have.

The bundle with the stand-in of tests/shim in it lies on the node, never in an image; values of the
chart make it the agent's.
"""

import hashlib
import json
import shutil
import subprocess
from pathlib import Path

from agent.criu import bundle

from . import locks
from .client import Cluster
from .layout import REPOSITORY, STATE

HERE = STATE / "criu-for-tests"  # on the node and on the machine
MOUNTED = "/opt/chrek/criu-for-tests"
SHIM = Path("lib", "chrek-test-prlimit.so")
CAP_SYS_RESOURCE = 24


def values(cluster: Cluster) -> list[str]:
    """Flags of helm; none where nothing is missing."""
    if not cluster.own or _held() >> CAP_SYS_RESOURCE & 1:
        return []
    with locks.changing():
        _make()
    environment = [
        {"name": "CHREK_CRIU_BUNDLE", "value": MOUNTED},
        {"name": "CHREK_TEST_PRLIMIT_SHIM", "value": str(SHIM)},
    ]
    volume = {"name": "criu-for-tests", "hostPath": {"path": str(HERE), "type": "Directory"}}
    mount = {"name": "criu-for-tests", "mountPath": MOUNTED, "readOnly": True}
    named = {"Env": environment, "Volumes": [volume], "VolumeMounts": [mount]}
    return [
        word
        for name, value in named.items()
        for word in ("--set-json", f"agent.extra{name}={json.dumps(value)}")
    ]


def _held() -> int:
    status = Path("/proc/self/status").read_text().splitlines()
    return int(next(line.split()[1] for line in status if line.startswith("CapEff:")), 16)


def _make() -> None:
    """Put it there, unless it is."""
    source = REPOSITORY / "tests" / "shim" / "prlimit.c"
    found = bundle.find().path
    inputs = [found / "VERSIONS", found / "bin" / "criu", source]
    made_from = "".join(hashlib.sha256(path.read_bytes()).hexdigest() for path in inputs)
    record = HERE / "made-from"
    if not record.exists() or record.read_text() != made_from:
        shutil.rmtree(HERE, ignore_errors=True)
        shutil.copytree(found, HERE, symlinks=True)
        options = ["-shared", "-fPIC", "-O1", "-Wall", "-Werror"]
        subprocess.run(["gcc", *options, "-o", HERE / SHIM, source, "-ldl"], check=True)
        record.write_text(made_from)
