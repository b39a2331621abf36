"""The commands that docs/trust.md gives for a new key do what it says: with real openssl, and a
kubectl that reads and patches one file."""

import base64
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from agent.trust import pem
from agent.trust.keys import Keyring, of_files
from tests.trust.keymaking import keyring

CONTENT = b"manifest"
DOCUMENT = Path(__file__).parents[2] / "docs/trust.md"
KUBECTL = """#!{python}
import base64, json, sys
from pathlib import Path
place = Path("{secret}")
found = json.loads(place.read_text())
assert sys.argv[1:6] == ["-n", "my-team", sys.argv[3], "secret", "chrek-signing"], sys.argv
if sys.argv[3] == "get":
    assert sys.argv[6:] == ["-o", r"jsonpath={{.data.signing\\.pem}}"], sys.argv
    print(found["data"]["signing.pem"], end="")
else:
    assert sys.argv[6:9] == ["--type", "merge", "--patch"], sys.argv
    found["data"] |= json.loads(sys.argv[9])["data"]
    place.write_text(json.dumps(found))
"""


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    place = tmp_path / "secret.json"
    place.write_text(json.dumps({"data": {"signing.pem": base64.b64encode(KEY).decode()}}))
    return place


KEY = pem.new()


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")
def test_a_new_key_by_hand_leaves_old_checkpoints_good(tmp_path: Path, secret: Path) -> None:
    (commands,) = re.findall(r"```sh\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    program = tmp_path / "bin/kubectl"
    program.parent.mkdir()
    program.write_text(KUBECTL.format(python=sys.executable, secret=secret))
    program.chmod(0o755)
    work = tmp_path / "work"
    work.mkdir()
    environment = os.environ | {"PATH": f"{program.parent}:{os.environ['PATH']}"}
    subprocess.run(["sh", "-euc", commands], cwd=work, env=environment, check=True)

    data = json.loads(secret.read_text())["data"]
    files = {name: base64.b64decode(value) for name, value in data.items()}
    assert set(files) == {"signing.pem", "trusted-old.pem"}
    assert files["signing.pem"] != KEY
    rotated = Keyring(of_files(files, "the Secret"))
    rotated.check(CONTENT, keyring(KEY).sign(CONTENT))
    rotated.check(CONTENT, rotated.sign(CONTENT))
    assert rotated.key_id != keyring(KEY).key_id
    assert list(work.iterdir()) == [], "no key lies about"
