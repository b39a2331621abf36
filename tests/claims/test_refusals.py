"""A volume that takes no checkpoint says why, in a way that its owner understands."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from agent.store.checkpoints import Checkpoints
from chrek.errors import StorageDeniedError, StorageError, StorageFullError
from chrek.ids import CheckpointID

from .conftest import Attach
from .nodes import REPOSITORY, Node

ID = CheckpointID("warm")

_STAGE = """
import json, sys
from pathlib import Path
from agent.store.checkpoints import Checkpoints
from chrek.errors import StorageError
from chrek.ids import CheckpointID
store = Checkpoints(Path(sys.argv[1]), "default")
reasons = []
for use in (
    lambda: store.staging(store.staging_path(CheckpointID("warm"))).__enter__(),
    lambda: store.every_variant(CheckpointID("warm")),
):
    try:
        use()
    except StorageError as error:
        reasons.append([error.reason, str(error)])
print(json.dumps(reasons))
"""


def stage(claim: Path) -> None:
    store = Checkpoints(claim, "default")
    with store.staging(store.staging_path(ID)):
        pass


def test_a_volume_that_squashes_root_is_denied(tmp_path: Path) -> None:
    """Stands for an NFS export with root_squash: the server takes root for nobody, which owns
    nothing there. Here root is without the capabilities that let it pass by a file's mode."""
    if not shutil.which("setpriv"):
        pytest.skip("needs setpriv")
    claim = tmp_path / "claim"
    claim.mkdir(mode=0o700)
    os.chown(claim, 1000, 1000)
    tmp_path.chmod(0o755)
    dropped = "-dac_override,-dac_read_search,-fowner"
    command = ["setpriv", f"--bounding-set={dropped}", f"--inh-caps={dropped}"]
    command += [sys.executable, "-c", _STAGE, str(claim)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=REPOSITORY)
    reasons = json.loads(done.stdout)
    assert [reason for reason, _ in reasons] == ["StorageDenied", "StorageDenied"]
    assert "root_squash" in reasons[0][1]


async def test_a_volume_that_is_read_only_is_denied(node: Node, attach: Attach) -> None:
    """As a kubelet mounts a claim whose volume source says readOnly."""
    volume = node.mount("tmpfs", "volume", "tmpfs", flags=1)
    async with attach(str(volume), read_only=False) as claim:
        with pytest.raises(StorageDeniedError, match="Read-only"):
            stage(claim)


async def test_a_volume_without_room_is_full(node: Node, attach: Attach) -> None:
    volume = node.mount("tmpfs", "volume", "tmpfs", "nr_inodes=2")
    async with attach(str(volume), read_only=False) as claim:
        with pytest.raises(StorageFullError, match="No space"):
            stage(claim)


async def test_links_in_place_of_directories_lead_no_checkpoint_astray(
    node: Node, attach: Attach, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    volume = node.mount("tmpfs", "volume", "tmpfs")
    (node.inside(volume) / "default").symlink_to(elsewhere)
    async with attach(str(volume), read_only=False) as claim:
        with pytest.raises(StorageError):
            stage(claim)
        (claim / "default").unlink()
        (claim / "default").mkdir()
        (claim / "default/warm").symlink_to(elsewhere)
        with pytest.raises(StorageError):
            stage(claim)
    assert not list(elsewhere.iterdir())
