"""What the API server is given at first, and asked before tests may use it."""

import json
import subprocess
import time

from . import supervision
from .commands import ENVIRONMENT
from .errors import ClusterError
from .layout import CONFIGURATION, HERE, KUBECONFIG, LOGS, NODE, PROGRAMS

FIRST = HERE / "objects.yaml"
USABLE_SECONDS = 60.0


def apply() -> None:
    """Make the objects what objects.yaml says, unless that was done."""
    applied = CONFIGURATION / FIRST.name
    if not applied.exists() or applied.read_bytes() != FIRST.read_bytes():
        _kubectl("apply", "-f", str(FIRST))
        applied.write_bytes(FIRST.read_bytes())


def wait_until_usable() -> None:
    """A pod can be created in the default namespace, and has somewhere to run."""
    deadline = time.monotonic() + USABLE_SECONDS
    while True:
        try:
            _kubectl("get", "serviceaccount", "default")
            _kubectl("get", "configmap", "kube-root-ca.crt")
            node = json.loads(_kubectl("get", "node", NODE, "-o", "json"))
            conditions = {each["type"]: each for each in node["status"]["conditions"]}
            if conditions["Ready"]["status"] == "True" and not node["spec"].get("taints"):
                return
            why = f"the node is not ready: {conditions['Ready']['message']}"
        except ClusterError as error:
            why = str(error)
        if time.monotonic() > deadline:
            raise ClusterError(f"{why}\n{supervision.tail(LOGS / 'kubelet.log')}")
        time.sleep(0.2)


def _kubectl(*arguments: str) -> str:
    done = subprocess.run(
        [str(PROGRAMS / "kubectl"), "--kubeconfig", str(KUBECONFIG), *arguments],
        capture_output=True,
        text=True,
        env=ENVIRONMENT,
        timeout=60,
        check=False,
    )
    if done.returncode:
        raise ClusterError(f"kubectl {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout
