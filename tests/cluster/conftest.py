"""A cluster for tests: the one that KUBECONFIG names, else one on this machine.

CHREK_KEEP_CLUSTER=1     leave it up afterwards (what a person started is left up anyway)
CHREK_SHARE_CLUSTER=1    use it together with other test runs, and not after them

Modules run side by side under `pytest -n` (tests/side_by_side.py).
"""

import functools
import os
import shutil
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest

from ..side_by_side import ALONE
from . import lifecycle, locks
from .client import VOLUME_OF, Cluster
from .errors import ClusterError
from .layout import HERE, KUBECONFIG, VOLUMES

NOT_ASKED = "needs a Kubernetes cluster: `make test-cluster` runs these"
SIDE_BY_SIDE = "PYTEST_XDIST_WORKER" in os.environ

Say = Callable[[str], None]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Only who asks for these tests gets a cluster: KUBECONFIG may name one of value."""
    asked = os.environ.get("CHREK_TEST_CLUSTER") == "1" or any(
        HERE in (path := Path(argument.partition("::")[0]).resolve()).parents or path == HERE
        for argument in config.invocation_params.args
        if not argument.startswith("-")
    )
    if not asked:
        for item in items:
            if HERE in item.path.parents:
                item.add_marker(pytest.mark.skip(NOT_ASKED))


@pytest.fixture(scope="session")
def turns() -> Iterator[locks.Turns]:
    with locks.Turns() as made:
        yield made


@pytest.fixture(scope="module")
def cluster(
    running: Cluster, turns: locks.Turns, request: pytest.FixtureRequest
) -> Iterator[Cluster]:
    """The cluster, for one module."""
    with turns.taken(alone=request.path.name in ALONE):
        yield running


@pytest.fixture(scope="session")
def running(pytestconfig: pytest.Config) -> Iterator[Cluster]:
    """The cluster, up; the last test run takes it down, unless a person started it."""
    named = os.environ.get("KUBECONFIG", "").partition(os.pathsep)[0]
    if named and Path(named) != KUBECONFIG:
        yield Cluster(Path(named), own=False)
        return
    capture = pytestconfig.pluginmanager.getplugin("capturemanager")

    def say(text: str) -> None:
        """At once, and not only if a test fails: it may take minutes."""
        with capture.global_and_fixture_disabled() if capture else nullcontext():
            print(f"cluster: {text}", file=sys.stderr, flush=True)

    try:
        shared = SIDE_BY_SIDE or os.environ.get("CHREK_SHARE_CLUSTER") == "1"
        with lifecycle.up_for_tests(shared, say):
            yield Cluster(KUBECONFIG)
        if os.environ.get("CHREK_KEEP_CLUSTER") != "1":
            lifecycle.down_after_tests()
    except ClusterError as error:
        pytest.fail(str(error), pytrace=False)


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Say:
    """Shows a figure, also of a test that passes."""

    def said(text: str) -> None:
        with capsys.disabled():
            print(f"\n  {text}", file=sys.stderr)  # of `pytest -n` only this is heard

    return said


@pytest.fixture
def namespace(cluster: Cluster, request: pytest.FixtureRequest) -> Iterator[str]:
    """A fresh namespace for chrek, in which pods can be created."""
    words = request.node.name.partition("[")[0].removeprefix("test_").replace("_", "-")
    name = f"{words[:40].strip('-').lower()}-{uuid.uuid4().hex[:6]}"
    make_namespace(cluster, name, {"chrek": "enabled"})
    yield name
    remove_namespace(cluster, name)


def make_namespace(cluster: Cluster, name: str, labels: dict[str, str]) -> None:
    """Create a namespace and wait for what pods in it need."""
    metadata = {"name": name, "labels": labels}
    created = {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}
    cluster.kubectl("create", "-f", "-", input=created)
    for needed in ("serviceaccount/default", "configmap/kube-root-ca.crt"):
        cluster.wait(f"{needed} in {name}", functools.partial(cluster.find, name, needed))


def remove_namespace(cluster: Cluster, name: str) -> None:
    """Delete a namespace, without waiting for its pods, and the volumes made for it."""
    cluster.kubectl("delete", "namespace", name, "--wait=false")
    cluster.kubectl("delete", "pv", "-l", f"{VOLUME_OF}={name}", "--wait=false")
    shutil.rmtree(VOLUMES / name, ignore_errors=True)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """Show what the cluster says of the namespace of a test that failed."""
    report = yield
    names = getattr(item, "funcargs", {})
    if report.failed and report.when != "teardown" and "namespace" in names:
        explained = names["cluster"].explain(names["namespace"])
        report.sections.append((f"namespace {names['namespace']}", explained))
    if report.failed and hasattr(names.get("team"), "explained"):
        report.sections.append(("the team", names["team"].explained()))
    return report
