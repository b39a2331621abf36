"""The built images: who they run as, what is in them, and that it runs."""

import re
from pathlib import Path

import pytest

import chrek
from agent.node import profile

from .conftest import Unpack, Unpacked

PYTHON_PACKAGES = "usr/lib/python3/dist-packages"


@pytest.mark.parametrize("key", ["webhook", "agent", "init"])
def test_an_image_says_what_it_is(image: Unpack, key: str) -> None:
    labels = image(key).config["Labels"]
    assert labels["org.opencontainers.image.version"] == chrek.__version__
    assert labels["org.opencontainers.image.title"]
    assert labels["org.opencontainers.image.licenses"].startswith("Apache-2.0")


@pytest.mark.parametrize("key", ["webhook", "agent"])
def test_nothing_of_the_building_machine_stays(image: Unpack, key: str) -> None:
    root = image(key).root
    assert not (root / "etc/pip.conf").exists()
    for emptied in ("run/secrets", "run/pip", "build", "var/lib/apt/lists"):
        found = (path for path in (root / emptied).rglob("*") if path.is_file())
        assert not [path for path in found if path.stat().st_size], "but empty mount points"
    assert not list((root / "var/cache/apt").rglob("*.deb"))


@pytest.mark.parametrize("key", ["webhook", "agent"])
def test_all_code_is_compiled_and_readable_by_any_user(image: Unpack, key: str) -> None:
    packages = image(key).root / PYTHON_PACKAGES
    sources = list(packages.rglob("*.py"))
    assert len(sources) > 50
    for source in sources:
        compiled = list((source.parent / "__pycache__").glob(f"{source.stem}.*.pyc"))
        assert compiled, source
        for path in (source, *compiled, source.parent):
            assert path.stat().st_mode & 0o004, path
            assert not path.stat().st_mode & 0o022, path


@pytest.mark.parametrize("module", ["webhook", "certs"])
def test_the_webhook_runs_without_any_right(image: Unpack, module: str) -> None:
    webhook = image("webhook")
    assert webhook.config["User"] == "65532:65532"
    assert webhook.config["Entrypoint"] == ["python3", "-m", "webhook"]
    done = webhook.run("python3", "-m", module, "--help")
    assert done.returncode == 0, done.stderr
    assert "usage: " in done.stdout


def test_the_webhooks_compiled_parts_load(image: Unpack) -> None:
    modules = "aiohttp._http_parser, cryptography.x509, msgspec._core, ssl, yarl._quoting_c"
    check = f"import {modules}; assert ssl.create_default_context().cert_store_stats()['x509_ca']"
    done = image("webhook").run("python3", "-c", check)
    assert done.returncode == 0, done.stderr


def test_the_webhook_holds_no_agent(image: Unpack) -> None:
    names = {path.name for path in (image("webhook").root / PYTHON_PACKAGES).iterdir()}
    assert {"certs", "chrek", "webhook"} <= names
    assert "agent" not in names


def test_the_agent_is_able_where_the_machine_is(image: Unpack) -> None:
    done = image("agent").run("chrek", "check", uid=0, privileged=True)
    rows = {line[6:].split("  ")[0].strip(): line[:4].strip() for line in done.stdout.splitlines()}
    for question in ("rights", "chrek-init", "CRIU", "criu check"):
        assert rows[question] == "yes", done.stdout + done.stderr


def test_the_agents_libraries_load(image: Unpack) -> None:
    check = (
        "import blake3, zstandard.backend_c, google._upb._message, agent.engine.restore\n"
        "from agent.criu.bundle import find, rpc_messages\n"
        "rpc_messages(find()).criu_req()"
    )
    done = image("agent").run("python3", "-c", check)
    assert done.returncode == 0, done.stderr


def test_the_agent_prepares_the_node_and_ends_when_told(image: Unpack, tmp_path: Path) -> None:
    agent = image("agent")
    assert agent.config["Entrypoint"] == ["python3", "-m", "agent"]
    flags = ["--node-name", "node-1", "--seccomp-dir", "/srv", "--status-port", "0"]
    flags += ["--release-namespace", "chrek", "--signing-secret", "keys", "--init-image", "init"]
    once_prepared = f'"$@" & until [ -e /srv/{profile.NAME} ]; do sleep 0.1; done; kill $!; wait $!'
    done = agent.run(
        "sh", "-c", once_prepared, "sh", *agent.config["Entrypoint"], *flags,
        uid=0, privileged=True, mounts={tmp_path: "/srv"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (tmp_path / profile.NAME).read_bytes() == profile.content()


def test_init_is_one_file_that_any_user_may_run(image: Unpack, tmp_path: Path) -> None:
    init = image("init")
    assert [path.name for path in init.root.rglob("*") if path.is_file()] == ["chrek-init"]
    assert init.config["User"] == "65532:65532"
    tmp_path.chmod(0o777)
    done = init.run("/chrek-init", "install", "/target", mounts={tmp_path: "/target"})
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "chrek-init").read_bytes() == (init.root / "chrek-init").read_bytes()
    names = sorted(path.name for path in tmp_path.iterdir())
    assert re.fullmatch(r"chrek-init reaper-[0-9a-f]{16}", " ".join(names))


def test_all_images_hold_the_same_chrek_init(image: Unpack) -> None:
    wanted = (image("init").root / "chrek-init").read_bytes()
    for key in ("agent", "placeholder", "placeholder-bare"):
        assert (image(key).root / "opt/chrek/chrek-init").read_bytes() == wanted


@pytest.mark.parametrize(
    ("key", "base"), [("placeholder", "python"), ("placeholder-bare", "pause")]
)
def test_a_placeholder_is_its_base_and_two_files(image: Unpack, key: str, base: str) -> None:
    made, below = image(key), image(base)
    assert made.config == below.config
    added = files(made) - files(below)
    assert {path.parent for path in added} == {Path("opt/chrek")}
    assert re.fullmatch(
        r"chrek-init reaper-[0-9a-f]{16}", " ".join(sorted(path.name for path in added))
    )
    done = made.run("/opt/chrek/chrek-init", "version")
    assert done.returncode == 0, done.stderr


def files(image: Unpacked) -> set[Path]:
    return {
        path.relative_to(image.root)
        for path in image.root.rglob("*")
        if path.is_symlink() or not path.is_dir()
    }
