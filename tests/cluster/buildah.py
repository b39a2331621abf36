"""Runs buildah with a storage of its own, and the programs beside it."""

import subprocess

from .layout import CACHE

STORAGE = CACHE / "images" / "storage"
MANY = 600


class BuildFailedError(Exception):
    """An image could not be made; the message ends with what the program said last."""


def image_id(name: str) -> str:
    """An image's id; none is ''."""
    try:
        return buildah("inspect", "--type", "image", "--format", "{{.FromImageID}}", name)
    except BuildFailedError:
        return ""


def buildah(verb: str, *arguments: str, says: str = "") -> str:
    """Run buildah in a mount namespace of its own: it leaves its storage mounted."""
    policy = STORAGE / "policy.json"
    policy.parent.mkdir(parents=True, exist_ok=True)
    policy.write_text('{"default": [{"type": "insecureAcceptAnything"}]}')
    storage = ["--root", str(STORAGE / "root"), "--runroot", str(STORAGE / "run")]
    settings = ["--signature-policy", str(policy)] if verb in ("bud", "commit", "from") else []
    command = ["unshare", "--mount", "buildah", *storage, "--storage-driver", "overlay"]
    return run([*command, verb, *settings, *arguments], says=says)


def prune() -> None:
    """Drop layers that no image has any more, once they are many: until then they save time."""
    if len(buildah("images", "--all", "--quiet").splitlines()) > MANY:
        buildah("rmi", "--prune")


def run(command: list[str], says: str = "") -> str:
    """Run a program; its standard output, or with `says` a log that is shown on failure."""
    done = subprocess.run(
        ["nice", "-n", "5", *command], capture_output=True, text=True, errors="replace", check=False
    )
    if done.returncode:
        said = (done.stdout if says else "") + done.stderr
        tail = "\n".join(said.splitlines()[-25:])
        raise BuildFailedError(f"{says or command[0]}: exit status {done.returncode}\n{tail}")
    return done.stdout.strip()
