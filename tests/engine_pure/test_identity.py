"""An id says what must be equal, and nothing else."""

from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.engine import identity
from chrek import ids
from chrek.manifest import Manifest, PodFacts
from chrek.runspec import RunSpec, Volume

SPEC = RunSpec(
    argv=["app", "--fast"],
    env={"A": "1", "B": "2"},
    cwd="/srv",
    volumes=[Volume("/a", "/x"), Volume("/b", "/y", True)],
    drop_capabilities=["CAP_KILL", "CAP_CHOWN"],
)


def test_an_id_is_a_dns_label_of_sixteen_hex_characters() -> None:
    found = identity.of_spec(SPEC)
    assert ids.is_label(found)
    assert ids.is_variant(found)


def test_an_id_never_changes_between_versions_of_chrek() -> None:
    """Whoever has to change this orphans the checkpoints that exist."""
    assert identity.of_spec(SPEC) == "e80f6a87980ac243"


@given(st.permutations(list(SPEC.env)), st.permutations(SPEC.volumes))
def test_the_order_of_names_does_not_matter(names: list[str], volumes: list[Volume]) -> None:
    env = {name: SPEC.env[name] for name in names}
    capabilities = SPEC.drop_capabilities[::-1]
    other = msgspec.structs.replace(SPEC, env=env, volumes=volumes, drop_capabilities=capabilities)
    assert identity.of_spec(other) == identity.of_spec(SPEC)


@pytest.mark.parametrize(
    "changed",
    [
        {"network": "host"},
        {"memory_bytes": 1 << 30},
        {"volumes": [Volume("/elsewhere", "/x"), Volume("/else", "/y")]},
    ],
    ids=str,
)
def test_where_it_runs_does_not_matter(changed: dict[str, object]) -> None:
    other = msgspec.structs.replace(SPEC, **changed)
    assert identity.of_spec(other) == identity.of_spec(SPEC)


DIFFERENT = [
    {"argv": ["--fast", "app"]},
    {"argv": ["app --fast"]},
    {"argv": ["app"]},
    {"env": {"A": "2", "B": "1"}},
    {"env": {"A": "1"}},
    {"env": {"A": "1", "B": ""}},
    {"cwd": "/"},
    {"uid": 1},
    {"gid": 1},
    {"volumes": []},
    {"volumes": [Volume("/a", "/x"), Volume("/b", "/z", True)]},
    {"drop_capabilities": ["CAP_KILL"]},
    {"read_only": True},
]


def test_what_it_runs_matters() -> None:
    found = {identity.of_spec(msgspec.structs.replace(SPEC, **changed)) for changed in DIFFERENT}
    assert len(found | {identity.of_spec(SPEC)}) == len(DIFFERENT) + 1


def test_a_variant_is_the_architecture_and_the_features_of_the_processor(
    manifest: Callable[..., Manifest],
) -> None:
    base = identity.variant(manifest().facts, PodFacts())
    assert ids.is_variant(base)
    assert identity.variant(manifest(kernel="7", hostname="x", max_pid=7).facts, PodFacts()) == base
    assert identity.variant(manifest(architecture="riscv64").facts, PodFacts()) != base
    assert identity.variant(manifest(cpu_features=["only"]).facts, PodFacts()) != base


def test_in_a_cluster_the_image_that_ran_and_the_environment_it_got_make_a_variant_too(
    manifest: Callable[..., Manifest],
) -> None:
    facts = manifest().facts
    pod = PodFacts(pod="web-1", node="a", image_digest="sha256:1", environment_hash="e")
    base = identity.variant(facts, pod)
    assert identity.variant(facts, PodFacts()) != base
    assert identity.variant(facts, msgspec.structs.replace(pod, image_digest="sha256:2")) != base
    assert identity.variant(facts, msgspec.structs.replace(pod, environment_hash="f")) != base
    assert identity.variant(facts, msgspec.structs.replace(pod, pod="web-2", node="b")) == base
