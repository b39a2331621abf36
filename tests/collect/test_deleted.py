"""A Checkpoint that is deleted takes its data with it, whoever runs in its namespace."""

import asyncio
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

from .conftest import CLAIM, ID, VARIANT, World, until

HOLDING = """
import asyncio, pathlib, sys
from agent.store.use import in_use

async def main():
    async with in_use(pathlib.Path(sys.argv[1])):
        print("restoring", flush=True)
        await asyncio.to_thread(sys.stdin.read)

asyncio.run(main())
"""


async def gone(world: World, name: str = ID) -> None:
    await until(lambda: world.is_gone(name))


async def test_through_a_pod_that_has_the_claim_mounted(world: World) -> None:
    other = world.stored("feedfeedfeedfeed")
    await world.checkpoint(ID, VARIANT, "b" * 16)
    async with world.agent() as agent:
        await world.pod(agent)
        await world.delete()
        await gone(world)
    assert not other.parent.with_name(ID).exists()
    assert other.exists()
    assert await world.cleaners() == []


async def test_while_nobody_restores_from_it(world: World) -> None:
    await world.checkpoint(ID, VARIANT, "b" * 16)
    kept, removed = world.stored(), world.stored(variant="b" * 16)
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDING, str(kept)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "restoring\n"
    async with world.agent() as agent:
        await world.pod(agent)
        await world.delete()
        await until(lambda: world.has_event("CheckpointInUse"))
        assert kept.exists()
        assert not removed.exists()
        assert not await world.is_gone()
        process.communicate("")
        await gone(world)
    assert not kept.parent.exists()


async def test_once_its_capture_has_ended(world: World) -> None:
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    await world.checkpoint(ID, VARIANT, capture={"node": "node-2", "renewedAt": now})
    async with world.agent() as agent:
        await world.pod(agent)
        await world.delete()
        await asyncio.sleep(1)
        assert world.stored().exists()
        assert not await world.is_gone()
        await world.status(ID, {"capture": None})
        await gone(world)
    assert not (world.claim / world.namespace / ID).exists()


async def test_when_agents_of_several_nodes_do_it_at_once(world: World) -> None:
    names = [f"{number:016x}" for number in range(8)]
    for name in names:
        await world.checkpoint(name, VARIANT)
    async with world.agent("node-1") as one, world.agent("node-2") as two:
        await world.pod(one, "web-1")
        await world.pod(two, "web-2")
        for name in names:
            await world.delete(name)
        for name in names:
            await gone(world, name)
    assert list((world.claim / world.namespace).iterdir()) == []


async def test_not_through_a_pod_that_has_just_ended(world: World) -> None:
    """Its volume may be unmounted by now: an empty directory says nothing of the claim."""
    await world.checkpoint(ID, VARIANT)
    await world.bind()
    async with world.agent() as agent:
        pod = await world.pod(agent)
        await world.end(agent, pod)
        await world.delete()
        await until(world.cleaners)
        assert not await world.is_gone()
    assert world.stored().exists()


async def test_with_no_pod_left_a_cleaner_comes_and_goes(world: World) -> None:
    await world.checkpoint(ID, VARIANT)
    await world.bind()
    async with world.agent("node-1") as one, world.agent("node-2"):
        await world.delete()
        await until(world.cleaners)
        assert world.stored().exists()
        cleaner = await world.run_cleaner(one)
        assert cleaner["metadata"]["name"] == f"chrek-cleaner-{CLAIM}"
        [owner] = cleaner["metadata"]["ownerReferences"]
        assert (owner["kind"], owner["name"]) == ("Checkpoint", ID)
        await gone(world)
        assert not (world.claim / world.namespace / ID).exists()

        async def is_ended() -> bool:
            return all(e["metadata"].get("deletionTimestamp") for e in await world.cleaners())

        await until(is_ended)


async def test_one_cleaner_is_enough_for_all_of_a_claim(world: World) -> None:
    names = [f"{number:016x}" for number in range(5)]
    for name in names:
        await world.checkpoint(name, VARIANT)
    await world.bind()
    async with world.agent("node-1") as one, world.agent("node-2"):
        for name in names:
            await world.delete(name)
        await until(world.cleaners)
        await world.run_cleaner(one)
        for name in names:
            await gone(world, name)
    assert len(await world.cleaners()) == 1


async def test_a_cleaner_that_has_ended_makes_room_for_another(world: World) -> None:
    await world.checkpoint(ID, VARIANT)
    await world.bind()
    async with world.agent():
        await world.delete()
        await until(world.cleaners)
        [first] = await world.cleaners()
        path = f"{world.pods}/{first['metadata']['name']}/status"
        await world.api.patch(path, {"status": {"phase": "Failed"}}, kind="strategic")

        async def is_another() -> bool:
            uids = [each["metadata"]["uid"] for each in await world.cleaners()]
            return bool(uids) and uids != [first["metadata"]["uid"]]

        await until(is_another)


async def test_what_only_looks_like_a_cleaner_is_not_worked_through(world: World) -> None:
    """The container of that name mounts a claim of another name."""
    await world.checkpoint(ID, VARIANT)
    await world.bind()
    async with world.agent() as agent:
        source = {"persistentVolumeClaim": {"claimName": "another"}}
        body = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": "chrek-cleaner-of-mine", "labels": {"chrek.io/component": "cleaner"},
            },
            "spec": {
                "nodeName": agent.name,
                "containers": [{"name": "cleaner", "image": "init:1"}],
                "volumes": [{"name": "chrek-claim", **source}],
            },
        }  # fmt: skip
        pod = await world.api.create(world.pods, body)
        agent.runtime.add(pod, "cleaner", "running", world.claim)
        await world.delete()
        await until(lambda: made(world))
        assert not await world.is_gone()
    assert world.stored().exists()


async def made(world: World) -> bool:
    return any(each["spec"].get("affinity") for each in await world.cleaners())


async def test_a_claim_that_is_gone_holds_nobody_up(world: World) -> None:
    await world.checkpoint(ID, VARIANT)
    async with world.agent():
        await world.delete()
        await gone(world)
    assert [reason for reason, _ in await world.events()] == ["ClaimGone"]
    assert await world.cleaners() == []


async def test_a_claim_that_is_being_deleted_holds_nobody_up(world: World) -> None:
    await world.checkpoint(ID, VARIANT)
    await world.bind()
    await world.api.delete(f"{world.claims}/{CLAIM}")
    async with world.agent():
        await world.delete()
        await gone(world)
    assert await world.has_event("ClaimGone")


async def test_a_namespace_that_ends_is_not_held_up(world: World) -> None:
    await world.checkpoint(ID, VARIANT)
    await world.bind()
    async with world.agent():
        await world.api.delete(f"/api/v1/namespaces/{world.namespace}")
        await world.delete()  # as the namespace controller does
        await gone(world)
    assert await world.cleaners() == []


async def test_what_was_never_captured_needs_no_cleaner(world: World) -> None:
    await world.checkpoint(ID)
    await world.bind()
    async with world.agent():
        await world.delete()
        await gone(world)
    assert await world.cleaners() == []


async def test_a_refused_cleaner_is_told_of(world: World) -> None:
    await world.checkpoint(ID, VARIANT)
    await world.bind()
    quotas = f"/api/v1/namespaces/{world.namespace}/resourcequotas"
    none = {"hard": {"pods": "0"}}
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "none"}}
    await world.api.create(quotas, {**quota, "spec": none})
    await world.api.patch(f"{quotas}/none/status", {"status": {**none, "used": {"pods": "0"}}})
    async with world.agent() as agent:
        await world.delete()
        await until(lambda: world.has_event("CleanerRefused"))
        assert "quota" in dict(await world.events())["CleanerRefused"]
        await world.api.delete(f"{quotas}/none")
        await world.pod(agent)
        await gone(world)


async def test_one_without_the_finalizer_is_left_to_who_made_it(world: World) -> None:
    await world.checkpoint(ID, VARIANT, finalizers=())
    async with world.agent() as agent:
        await world.pod(agent)
        await world.delete()
        assert await world.is_gone()
        await asyncio.sleep(1)
    assert world.stored().exists()


async def test_one_whose_name_no_data_can_have_goes(world: World) -> None:
    await world.checkpoint("a.b")
    async with world.agent():
        await world.delete("a.b")
        await gone(world, "a.b")


async def test_a_link_that_a_tenant_planted_leads_nowhere(world: World, tmp_path: Path) -> None:
    await world.checkpoint(ID, VARIANT)
    mine = world.stored().parent
    victim = tmp_path / "victim"
    mine.rename(victim)
    mine.symlink_to(victim)
    async with world.agent() as agent:
        await world.pod(agent)
        await world.delete()
        await gone(world)
    assert (victim / VARIANT / "manifest.json").exists()


async def test_an_agent_that_was_killed_meanwhile_is_followed_by_another(world: World) -> None:
    await world.checkpoint(ID, VARIANT)
    world.stored().rename(world.stored().with_name(".trash-of-a-killed-agent"))
    async with world.agent() as agent:
        await world.pod(agent)
        await world.delete()
        await gone(world)
    assert list((world.claim / world.namespace).iterdir()) == []


async def test_checkpoints_are_counted_by_phase(world: World) -> None:
    await world.checkpoint(ID, VARIANT)
    await world.checkpoint("b" * 16)
    async with world.agent() as agent:
        get = agent.metrics.registry.get_sample_value

        async def counted() -> bool:
            return [get("chrek_checkpoints", {"phase": p}) for p in ("Ready", "Pending")] == [1, 1]

        await until(counted)


async def test_those_of_an_ending_namespace_are_let_go_before_they_are_deleted(
    world: World,
) -> None:
    """The agent's rights in the namespace, or the agent, may be gone a moment later."""
    await world.checkpoint(ID, VARIANT)
    async with world.agent() as agent:
        await world.pod(agent)
        await world.api.delete(f"/api/v1/namespaces/{world.namespace}")

        async def is_let_go() -> bool:
            found = await world.api.get(f"{world.checkpoints}/{ID}")
            return "finalizers" not in found["metadata"]

        await until(is_let_go)
    assert world.stored().exists()
