"""An image of one static program, made by hand: nothing has to be fetched or built for it."""

import hashlib
import io
import json
import platform
import subprocess
import tarfile
from pathlib import Path

NAME = "docker.io/chrek-test/still:1"
ENTRYPOINT = ["/still"]
CMD = ["for", "good"]
ENV = ["PATH=/", "LANGUAGE=C"]

# Ends with 3 when told to by a byte in /tell/end, as a volume may hold; else at SIGTERM, with 0.
_PROGRAM = """
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>
static void end(int number) { (void)number; _exit(0); }
int main(void) {
  signal(SIGTERM, end);
  signal(SIGINT, end);
  while (open("/tell/end", O_RDONLY) < 0) usleep(20000);
  return 3;
}
"""


def make(folder: Path) -> tuple[Path, str]:
    """A docker archive in `folder`, and the digest of the image's configuration."""
    source = folder / "still.c"
    source.write_text(_PROGRAM)
    command = ["gcc", "-O1", "-static", "-o", str(folder / "still"), str(source)]
    subprocess.run(command, check=True, capture_output=True)
    layer = _tar({"still": (folder / "still").read_bytes()}, 0o755)
    config = json.dumps(
        {
            "architecture": "arm64" if platform.machine() == "aarch64" else "amd64",
            "os": "linux",
            "config": {"Entrypoint": ENTRYPOINT, "Cmd": CMD, "Env": ENV},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{_sha256(layer)}"]},
        }
    ).encode()
    digest = _sha256(config)
    described = [{"Config": f"{digest}.json", "RepoTags": [NAME], "Layers": ["layer.tar"]}]
    archive = folder / "still.tar"
    files = {
        f"{digest}.json": config,
        "layer.tar": layer,
        "manifest.json": json.dumps(described).encode(),
    }
    archive.write_bytes(_tar(files, 0o644))
    return archive, f"sha256:{digest}"


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _tar(files: dict[str, bytes], mode: int) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), mode
            archive.addfile(member, io.BytesIO(content))
    return made.getvalue()
