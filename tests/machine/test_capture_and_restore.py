"""The main job on real programs: captured while they serve, restored into fresh containers."""

import socket
import time
from pathlib import Path

from conftest import PORT, PYTHON, Chrek, get, wait_for

NODE = "/usr/bin/env"


def test_a_service_with_threads_and_a_child_comes_back_with_its_memory(chrek: Chrek) -> None:
    chrek.run("source", PYTHON, "/programs/counter.py", "0.0.0.0", "child")
    before = chrek.get("source")

    chrek("checkpoint", "source", "--as", "warm")
    chrek("restore", "warm", "--name", "copy")

    after = chrek.get("copy")
    assert after["token"] == before["token"]
    assert after["count"] == before["count"] + 1
    assert after["pid"] == before["pid"]
    assert after["hostname"] == "copy"
    wait_for(lambda: chrek.get("copy")["ticks"] > after["ticks"], "threads to run")
    wait_for(lambda: chrek.get("copy")["child"] > after["child"], "the child to run")


def test_the_source_serves_on_unharmed_and_its_connections_stay_open(chrek: Chrek) -> None:
    chrek.run("source", PYTHON, "/programs/counter.py", "0.0.0.0", "child")
    before = chrek.get("source")
    address = chrek.container("source")["address"]
    with socket.create_connection((address, PORT), timeout=30) as open_connection:
        chrek("checkpoint", "source", "--as", "warm")
        open_connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert open_connection.recv(100).startswith(b"HTTP/1.1 200")

    after = chrek.get("source")
    assert after["token"] == before["token"]
    assert after["count"] == before["count"] + 2
    wait_for(lambda: chrek.get("source")["child"] > before["child"], "the child to run")
    assert "bundle" not in Path(f"/proc/{chrek.init('source')}/mountinfo").read_text()


def test_connections_of_the_source_are_closed_in_the_copy_and_new_ones_work(chrek: Chrek) -> None:
    chrek.run("source", PYTHON, "/programs/counter.py")
    address = chrek.container("source")["address"]
    half_open = [socket.create_connection((address, PORT), timeout=30) for _ in range(3)]
    time.sleep(0.2)  # accepted by then, or in the backlog; both must survive

    chrek("checkpoint", "source", "--as", "warm")
    chrek("restore", "warm", "--name", "copy")

    assert chrek.get("copy")["token"] == chrek.get("source")["token"]
    for connection in half_open:
        connection.close()


def test_a_socket_bound_to_the_containers_own_address_moves_to_the_new_one(chrek: Chrek) -> None:
    chrek.run("source", PYTHON, "/programs/counter.py", "own")
    token = chrek.get("source")["token"]

    chrek("checkpoint", "source", "--as", "warm")
    chrek("restore", "warm", "--name", "copy")

    assert chrek.container("copy")["address"] != chrek.container("source")["address"]
    assert chrek.get("copy")["token"] == token


def test_a_node_server_comes_back(chrek: Chrek) -> None:
    chrek.run("source", NODE, "node", "/programs/server.js")
    before = chrek.get("source")

    chrek("checkpoint", "source", "--as", "warm")
    chrek("restore", "warm", "--name", "copy")

    after = chrek.get("copy")
    assert (after["token"], after["count"]) == (before["token"], before["count"] + 1)
    wait_for(lambda: chrek.get("copy")["ticks"] > after["ticks"], "its timer to run")
    assert chrek.get("source")["token"] == before["token"]


def test_a_restricted_process_comes_back_with_its_restrictions(
    chrek: Chrek, tmp_path: Path
) -> None:
    profile = tmp_path / "seccomp.json"
    profile.write_text(
        '{"defaultAction": "SCMP_ACT_ALLOW", "syscalls":'
        ' [{"names": ["swapon"], "action": "SCMP_ACT_ERRNO"}]}'
    )
    options = ("--user", "1000:1000", "--cap-drop", "ALL", "--read-only")
    options += ("--seccomp", str(profile))
    chrek.run("source", PYTHON, "/programs/counter.py", options=options)
    before = chrek.get("source")
    assert before["status"]["Seccomp"] == "2"

    chrek("checkpoint", "source", "--as", "warm")
    chrek("restore", "warm", "--name", "copy")

    after = chrek.get("copy")
    assert after["uid"] == 1000
    assert after["status"] == before["status"]
    assert int(after["status"]["CapBnd"], 16) == 0
    assert after["status"]["NoNewPrivs"] == "1"


def test_the_same_checkpoint_is_restored_twenty_times_in_a_row(chrek: Chrek) -> None:
    chrek.run("source", PYTHON, "/programs/counter.py")
    token = chrek.get("source")["token"]
    chrek("checkpoint", "source", "--as", "warm")

    for _ in range(20):
        chrek("restore", "warm", "--name", "copy")
        assert chrek.get("copy")["token"] == token
        chrek("stop", "copy")


def test_three_replicas_are_restored_at_once(chrek: Chrek) -> None:
    chrek.run("source", PYTHON, "/programs/counter.py", "0.0.0.0", "child")
    token = chrek.get("source")["token"]
    chrek("checkpoint", "source", "--as", "warm")

    replicas = chrek("restore", "warm", "--count", "3", "--json").json

    assert [replica["restored"] for replica in replicas] == [True] * 3
    answers = [get(replica["address"]) for replica in replicas]
    assert {answer["token"] for answer in answers} == {token}
    assert {answer["hostname"] for answer in answers} == {"warm-1", "warm-2", "warm-3"}
    assert len({replica["address"] for replica in replicas}) == 3


def test_a_restored_process_is_captured_again_for_three_generations(chrek: Chrek) -> None:
    chrek.run("g0", PYTHON, "/programs/counter.py", "0.0.0.0", "child")
    token = chrek.get("g0")["token"]
    for generation in range(3):
        chrek("checkpoint", f"g{generation}", "--as", f"warm{generation}")
        chrek("restore", f"warm{generation}", "--name", f"g{generation + 1}")
        assert chrek.get(f"g{generation + 1}")["token"] == token
    assert chrek.get("g3")["count"] == 5


def test_what_the_source_wrote_is_there_in_the_copy(chrek: Chrek) -> None:
    chrek.run("source", PYTHON, "/programs/writer.py")
    chrek("checkpoint", "source", "--as", "warm")
    chrek("restore", "warm", "--name", "copy")

    assert chrek.inside("copy", "/var/tmp/kept/plain").read_text() == "plain"
    assert chrek.inside("copy", "/var/tmp/kept/hard").stat().st_nlink == 2
    assert chrek.inside("copy", "/var/tmp/kept/link").readlink() == Path("plain")
    assert chrek.inside("copy", "/var/tmp/kept/dir").is_dir()
    assert chrek.inside("copy", "/dev/shm/in-shm").read_text() == "shm"
    assert not chrek.inside("copy", "/etc/debian_version").exists()
    assert Path("/etc/debian_version").exists()
    chrek.inside("copy", "/tmp/ask").touch()
    wait_for(lambda: chrek.inside("copy", "/tmp/answer").exists(), "the program to answer")
    number, _, text = chrek.inside("copy", "/tmp/answer").read_text().partition(" ")
    assert text == "deleted but open"
    lines = chrek.inside("copy", "/var/tmp/kept/log").read_text().split()
    assert lines[: int(number)] == [str(n + 1) for n in range(int(number))]
    assert chrek.inside("source", "/var/tmp/kept/log").exists()


def test_output_goes_to_the_new_containers_own_log(chrek: Chrek) -> None:
    chrek.run("source", PYTHON, "/programs/counter.py")
    chrek("checkpoint", "source", "--as", "warm")
    chrek("restore", "warm", "--name", "copy")
    said_before = chrek.log("source")

    chrek.get("copy")

    wait_for(lambda: "GET / HTTP" in chrek.log("copy"), "the request to be logged")
    assert chrek.log("source") == said_before


def test_a_capture_can_end_its_source_with_zero(chrek: Chrek) -> None:
    chrek.run("source", PYTHON, "/programs/counter.py")
    chrek("checkpoint", "source", "--as", "warm", "--exit")
    assert chrek.exit_status("source") == 0
    chrek("restore", "warm", "--name", "copy")
    assert chrek.get("copy")["count"] == 1


def test_a_source_on_the_machines_network_comes_back_there(chrek: Chrek) -> None:
    chrek.run("source", PYTHON, "/programs/counter.py", "127.0.0.1", options=("--net", "host"))
    token = get("127.0.0.1")["token"]
    chrek("checkpoint", "source", "--as", "warm", "--exit")
    assert chrek.exit_status("source") == 0

    chrek("restore", "warm", "--name", "copy")

    assert chrek.container("copy")["address"] is None
    assert get("127.0.0.1")["token"] == token
