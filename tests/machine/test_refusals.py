"""What cannot be captured or restored is refused by name, and nothing is lost."""

import json
import subprocess
from pathlib import Path

import pytest
from conftest import PYTHON, Chrek, wait_for

from agent.store import checkpoints


@pytest.fixture
def warm(chrek: Chrek) -> Chrek:
    """A source that serves, and its checkpoint `warm`."""
    chrek.run("source", PYTHON, "/programs/counter.py")
    chrek("checkpoint", "source", "--as", "warm")
    return chrek


def variant(chrek: Chrek) -> Path:
    (found,) = (chrek.root / "checkpoints/default/warm").iterdir()
    return found


def flip(path: Path, offset: int) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)
        file.seek(offset)
        file.write(bytes([byte[0] ^ 1]))


def largest(chrek: Chrek) -> Path:
    return max((variant(chrek) / "criu").glob("pages-*.img"), key=lambda path: path.stat().st_size)


@pytest.mark.parametrize("name", ["pages", "criu/core-*.img", "files.tar.zst", "reaper-*"])
def test_a_flipped_byte_is_refused_and_the_placeholder_starts_cold(warm: Chrek, name: str) -> None:
    token = warm.get("source")["token"]
    path = largest(warm) if name == "pages" else sorted(variant(warm).glob(name))[-1]
    flip(path, path.stat().st_size // 2)

    said = warm("restore", "warm", "--name", "copy", code=4).err

    assert "CheckpointDamaged" in said
    assert path.name in said
    wait_for(lambda: "ready" in warm.log("copy"), "the cold start")
    assert "CheckpointDamaged" in warm.log("copy")
    assert warm.get("copy")["token"] != token
    assert "damaged" in warm("verify", "warm", code=1).err
    assert warm.get("source")["token"] == token


@pytest.mark.parametrize("name", ["pages", "criu/files.img", "files.tar.zst", "reaper-*"])
def test_a_missing_file_is_refused_and_the_placeholder_starts_cold(warm: Chrek, name: str) -> None:
    path = largest(warm) if name == "pages" else sorted(variant(warm).glob(name))[-1]
    path.unlink()

    said = warm("restore", "warm", "--name", "copy", code=4).err

    assert "CheckpointDamaged" in said
    wait_for(lambda: "ready" in warm.log("copy"), "the cold start")
    assert warm("verify", "warm", code=1).err


def test_on_failure_fail_leaves_no_container(warm: Chrek) -> None:
    largest(warm).unlink()
    warm("restore", "warm", "--name", "copy", "--on-failure", "fail", code=1)
    assert [entry["name"] for entry in warm("ps", "--json").json] == ["source"]


def test_an_unreadable_manifest_starts_nothing(warm: Chrek) -> None:
    (variant(warm) / "manifest.json").write_text("{")
    warm.sign(variant(warm))
    assert "CheckpointDamaged" in warm("restore", "warm", "--name", "copy", code=1).err
    assert [entry["name"] for entry in warm("ps", "--json").json] == ["source"]
    assert warm("ls", "--json").json[0]["reason"] == "CheckpointDamaged"


def test_a_checkpoint_of_another_processor_is_refused_before_any_work(warm: Chrek) -> None:
    path = variant(warm) / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["facts"]["cpu_features"].append("chrek_test_feature")
    path.write_text(json.dumps(manifest))
    warm.sign(path.parent)

    said = warm("restore", "warm", "--name", "copy", code=4).err

    assert "CPUFeaturesMissing" in said
    assert "chrek_test_feature" in said
    wait_for(lambda: "ready" in warm.log("copy"), "the cold start")


def test_a_program_with_io_uring_is_refused_by_name_and_runs_on(chrek: Chrek) -> None:
    chrek("run", "--name", "source", "--volume", f"{Path(__file__).parent}/programs:/programs",
          "--", PYTHON, "/programs/io_uring.py")  # fmt: skip
    wait_for(lambda: chrek.log("source").strip().endswith(("ready", "1", "38")), "the program")
    if "no io_uring" in chrek.log("source"):
        pytest.skip("this kernel gives no io_uring")
    said = chrek("checkpoint", "source", "--as", "warm", code=1).err
    assert "IoUring" in said
    assert "python3" in said
    assert chrek.container("source")["state"] == "running"
    assert chrek("ls", "--json").json == []


def test_a_process_outside_the_tree_is_refused_by_name(chrek: Chrek) -> None:
    chrek.run("source", PYTHON, "/programs/counter.py")
    token = chrek.get("source")["token"]
    init = str(chrek.init("source"))
    # As CRIU leaves an orphan whose session leader is dead: a child of PID 1, not of the reaper.
    shell = "sleep 1000 & exit 0"
    subprocess.run(
        ["nsenter", "-t", init, "-p", "-m", "--", "sh", "-c", shell],
        check=True,
        stdin=subprocess.DEVNULL,
    )
    said = chrek("checkpoint", "source", "--as", "warm", code=1).err
    assert "ProcessOutsideTree" in said
    assert "sleep" in said
    assert chrek.get("source")["token"] == token


def test_a_second_checkpoint_of_the_same_name_needs_replace(warm: Chrek) -> None:
    before = checkpoints.load(variant(warm), warm.keys)
    assert "AlreadyExists" in warm("checkpoint", "source", "--as", "warm", code=1).err
    assert checkpoints.verify(variant(warm), warm.keys) == before
    token = warm.get("source")["token"]
    warm("checkpoint", "source", "--as", "warm", "--replace")
    warm("restore", "warm", "--name", "copy")
    assert warm.get("copy") | {"ticks": 0, "hostname": ""} == warm.get("source") | {
        "ticks": 0,
        "hostname": "",
    }
    assert warm.get("copy")["token"] == token


def test_a_full_disk_fails_the_capture_and_the_source_serves_on(chrek: Chrek) -> None:
    chrek.run("source", PYTHON, "/programs/counter.py")
    token = chrek.get("source")["token"]
    claim = chrek.root / "checkpoints"
    claim.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "full", claim], check=True)
    try:
        said = chrek("checkpoint", "source", "--as", "warm", code=1).err
        assert "StorageFull" in said
        assert chrek.get("source")["token"] == token
        assert [path for path in claim.rglob("*") if path.is_file()] == []
    finally:
        subprocess.run(["umount", claim], check=True)
    chrek("checkpoint", "source", "--as", "warm")
    chrek("restore", "warm", "--name", "copy")
    assert chrek.get("copy")["token"] == token


def test_files_beyond_the_bound_are_refused_with_the_number(
    chrek: Chrek, monkeypatch: pytest.MonkeyPatch
) -> None:
    chrek.run("source", PYTHON, "/programs/counter.py")
    chrek.environment["CHREK_FILES_LIMIT_MIB"] = "1"
    chrek.inside("source", "/tmp/large").write_bytes(b"x" * (2 << 20))
    said = chrek("checkpoint", "source", "--as", "warm", code=1).err
    assert "FilesTooLarge" in said
    assert "1 MiB" in said
    assert chrek.get("source")["token"]


def test_nothing_of_the_container_is_run_or_read_by_criu(chrek: Chrek) -> None:
    """CRIU runs as root with all rights inside the container's file system: a configuration file
    there could name a script, a plugin there would be loaded."""
    chrek.run("source", PYTHON, "/programs/counter.py")
    token = chrek.get("source")["token"]
    script = chrek.inside("source", "/var/tmp/evil")
    script.write_text("#!/bin/sh\ntouch /var/tmp/was-here\n")
    script.chmod(0o755)
    for place in ("/etc/criu/default.conf", "/root/.criu/default.conf"):
        path = chrek.inside("source", place)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("action-script /var/tmp/evil\n")
    plugin = chrek.inside("source", "/usr/lib/criu/evil.so")
    plugin.parent.mkdir(parents=True, exist_ok=True)
    plugin.write_bytes(b"not a library: loading it fails the dump")
    preload = chrek.inside("source", "/etc/ld.so.preload")
    preload.write_text("/var/tmp/evil.so\n")

    chrek("checkpoint", "source", "--as", "warm")
    chrek("restore", "warm", "--name", "copy")

    assert not chrek.inside("source", "/var/tmp/was-here").exists()
    assert not chrek.inside("copy", "/var/tmp/was-here").exists()
    assert chrek.get("copy")["token"] == token


def test_a_cold_start_after_a_failed_restore_does_not_find_the_sources_files(
    chrek: Chrek,
) -> None:
    """A program that refuses to start twice (a PID file) must start in the placeholder."""
    chrek.run("source", PYTHON, "/programs/once.py")
    chrek("checkpoint", "source", "--as", "warm")
    flip(largest(chrek), 4096)

    chrek("restore", "warm", "--name", "copy", code=4)

    wait_for(lambda: "ready" in chrek.log("copy"), "the cold start")
    assert "already running" not in chrek.log("copy")
    assert chrek.container("copy")["state"] == "running"
    assert chrek.container("copy")["restored_from"] is None


def test_a_container_with_zombies_is_captured_and_restored(chrek: Chrek) -> None:
    chrek.run("source", PYTHON, "/programs/zombies.py")
    chrek("checkpoint", "source", "--as", "warm")
    chrek("restore", "warm", "--name", "copy")
    wait_for(lambda: "alive" in chrek.log("copy"), "the program to go on")


def test_a_tree_of_many_large_processes_is_restored(chrek: Chrek) -> None:
    chrek.run("source", PYTHON, "/programs/many.py", "70")
    chrek("checkpoint", "source", "--as", "warm")
    assert chrek("inspect", "warm", "--json").json["facts"]["processes"][71:]
    chrek("restore", "warm", "--name", "copy")
    wait_for(lambda: "alive" in chrek.log("copy"), "the program to go on")


def test_directories_of_any_depth_hurt_no_command(chrek: Chrek) -> None:
    chrek.run("source", PYTHON, "/programs/deep.py")
    said = chrek("checkpoint", "source", "--as", "warm", code=1).err
    assert "Traceback" not in said
    assert chrek.container("source")["state"] == "running"
    chrek("stop", "source")
    assert chrek("ps", "--json").json == []


def test_a_second_capture_at_the_same_time_is_refused_and_the_first_succeeds(
    chrek: Chrek,
) -> None:
    chrek.run("source", PYTHON, "/programs/counter.py")
    token = chrek.get("source")["token"]
    running = [chrek.start("checkpoint", "source", "--as", f"warm{n}") for n in range(3)]
    said = [process.communicate(timeout=60)[1] for process in running]
    codes = [process.returncode for process in running]
    assert 0 in codes, said
    assert all("Busy" in text for text, code in zip(said, codes, strict=True) if code), said
    assert chrek.get("source")["token"] == token


def test_a_manifest_in_another_checkpoints_place_is_refused(warm: Chrek) -> None:
    path = variant(warm) / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["id"] = "other"
    path.write_text(json.dumps(manifest))
    warm.sign(path.parent)
    assert "CheckpointDamaged" in warm("restore", "warm", "--name", "copy", code=1).err
