"""`python -m certs`: what it writes, shows, says and ends with."""

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from certs.__main__ import main
from certs.pair import KEYS


def made(directory: Path, *more: str) -> int:
    return main(["--directory", str(directory), "--dns-name", "localhost", *more])


def contents(directory: Path) -> dict[str, bytes]:
    return {key: (directory / key).read_bytes() for key in KEYS}


def test_a_directory_is_filled_with_files_that_only_those_may_read_who_should(
    tmp_path: Path,
) -> None:
    before = os.umask(0)
    try:
        assert made(tmp_path / "new" / "tls") == 0
    finally:
        os.umask(before)
    modes = {
        path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "new/tls").iterdir()
    }
    assert modes == {"ca.crt": 0o644, "ca.key": 0o600, "tls.crt": 0o644, "tls.key": 0o600}


def test_the_second_run_changes_nothing(tmp_path: Path) -> None:
    assert made(tmp_path) == 0
    before = contents(tmp_path)
    assert made(tmp_path) == 0
    assert contents(tmp_path) == before


def test_a_run_that_was_killed_between_two_files_is_mended_by_the_next(tmp_path: Path) -> None:
    assert made(tmp_path / "other") == 0
    for key in KEYS:
        assert made(tmp_path / key) == 0
        (tmp_path / key / key).write_bytes((tmp_path / "other" / key).read_bytes())
        (tmp_path / key / f".{key}.new").write_bytes(b"half")
        assert made(tmp_path / key) == 0
        after = contents(tmp_path / key)
        assert made(tmp_path / key) == 0
        assert contents(tmp_path / key) == after


def test_openssl_accepts_it_for_the_name(tmp_path: Path) -> None:
    assert made(tmp_path, "--dns-name", "other.svc") == 0
    said = subprocess.run(
        f"openssl verify -x509_strict -verify_hostname other.svc -CAfile {tmp_path}/ca.crt"
        f" {tmp_path}/tls.crt",
        shell=True,
        capture_output=True,
        text=True,
        check=False,
    )
    assert said.returncode == 0, said.stderr


def test_print_shows_subjects_and_dates_and_never_a_key(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert made(tmp_path, "--serving-lifetime", "86400") == 0
    (tmp_path / "ca.key").unlink()
    assert made(tmp_path) == 0
    capsys.readouterr()
    assert main(["--directory", str(tmp_path), "--print"]) == 0
    shown = capsys.readouterr().out
    lines = shown.splitlines()
    assert lines[0].startswith("tls.crt   localhost, 20")
    assert "          for localhost" in lines
    assert "tls.key   fits" in lines
    assert len([line for line in lines if line.startswith("ca.crt    chrek CA ")]) == 2
    assert shown.count("signs (ca.key fits)") == 1
    for key in ("tls.key", "ca.key"):
        secret = (tmp_path / key).read_text().splitlines()[1]
        assert secret not in shown
    assert "PRIVATE" not in shown


def test_print_says_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert made(tmp_path) == 0
    (tmp_path / "tls.key").write_text("garbage")
    capsys.readouterr()
    assert main(["--directory", str(tmp_path), "--print"]) == 0
    assert "fault     tls.key is missing or damaged" in capsys.readouterr().out


def test_print_of_nothing_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--directory", str(tmp_path / "none"), "--print"]) == 1
    assert "is missing" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "--namespace and --secret say which Secret"),
        (["--namespace", "ml"], "--namespace and --secret"),
        (["--directory", "d", "--secret", "x"], "leave out --namespace"),
        (["--directory", "d"], "no --dns-name"),
        (["--directory", "d", "--dns-name", "A B"], "not a DNS name"),
        (["--directory", "d", "--dns-name", "a", "--serving-lifetime", "1"], "lives 10 s"),
        (["--directory", "d", "--dns-name", "a", "--ca-lifetime", "nan"], "three times"),
    ],
)
def test_nonsense_is_refused_with_2_and_a_sentence(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    here = Path.cwd()
    os.chdir(tmp_path)
    try:
        assert main(arguments) == 2
    finally:
        os.chdir(here)
    error = capsys.readouterr().err
    assert said in error
    assert error.startswith("certs: ")
    assert "(InvalidRequest)" in error
    assert list(tmp_path.iterdir()) == []


def test_a_word_that_is_no_number_is_refused_by_the_parser() -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--overlap", "soon"])
    assert ended.value.code == 2


def test_a_directory_that_cannot_be_written_is_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    assert made(tmp_path / "file" / "below") == 1
    assert "cannot be" in capsys.readouterr().err


CLUSTER = ["--namespace", "ml", "--secret", "tls", "--dns-name", "chrek.ml.svc"]


def test_without_a_cluster_it_is_3(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    assert main([*CLUSTER, "--once"]) == 3
    assert "KUBECONFIG" in capsys.readouterr().err


@pytest.fixture
def closed(tmp_path: Path) -> Path:
    """A kubeconfig of a cluster that nobody answers for."""
    path = tmp_path / "kubeconfig"
    path.write_text(
        """
apiVersion: v1
kind: Config
current-context: c
contexts: [{name: c, context: {cluster: c, user: u}}]
clusters: [{name: c, cluster: {server: "http://127.0.0.1:9"}}]
users: [{name: u, user: {token: t}}]
"""
    )
    return path


@pytest.mark.parametrize("what", ["--once", "--print"])
def test_a_cluster_that_does_not_answer_is_3(what: str, closed: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "certs", *CLUSTER, what],
        env={**os.environ, "KUBECONFIG": str(closed)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 3
    assert "no answer from the API server" in ended.stderr


def test_a_keeper_that_goes_on_whatever_the_cluster_ends_with_0_on_sigterm(closed: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "certs", *CLUSTER],
        env={**os.environ, "KUBECONFIG": str(closed)},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr is not None
        assert "certificates not kept" in process.stderr.readline()
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
        assert "Traceback" not in process.stderr.read()
    finally:
        process.kill()
        process.communicate()


def test_help_names_the_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    said = capsys.readouterr().out
    assert "exit codes:" in said
    assert "--webhook-configuration" in said
