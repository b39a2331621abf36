"""What is more than is kept goes, its data first; what is restored from or new stays."""

import asyncio
from datetime import UTC, datetime, timedelta

from agent.store.use import in_use
from chrek.kube.api import JSON

from .conftest import CLAIM, ID, VARIANT, World, until

NEWER = "b" * 16


async def variants(world: World, name: str = ID) -> list[str]:
    found = await world.api.get(f"{world.checkpoints}/{name}")
    return [each["name"] for each in found["status"].get("variants") or []]


def stored(world: World, name: str = ID) -> list[str]:
    home = world.claim / world.namespace / name
    return sorted(path.name for path in home.iterdir()) if home.exists() else []


def ago(**span: float) -> str:
    return (datetime.now(UTC) - timedelta(**span)).strftime("%Y-%m-%dT%H:%M:%SZ")


async def test_older_variants_than_are_kept_go_with_their_data(world: World) -> None:
    async with world.agent() as agent:
        await world.pod(agent)
        await world.checkpoint(ID, VARIANT, NEWER, spec={"keep": 1})
        await until(lambda: is_left(world, [NEWER]))
    assert stored(world) == [NEWER]
    found = await world.api.get(f"{world.checkpoints}/{ID}")
    [trimmed] = [c for c in found["status"]["conditions"] if c["type"] == "Trimmed"]
    assert trimmed["reason"] == "Superseded"


async def is_left(world: World, names: list[str], of: str = ID) -> bool:
    return await variants(world, of) == names


async def test_a_variant_that_nobody_restored_for_its_ttl_goes(world: World) -> None:
    async with world.agent() as agent:
        await world.pod(agent)
        await world.checkpoint(ID, VARIANT, spec={"ttl": "1h"})
        await until(lambda: is_left(world, []))
    assert stored(world) == []


async def test_a_variant_that_was_restored_within_its_ttl_stays(world: World) -> None:
    await world.checkpoint(ID, VARIANT, NEWER, spec={"ttl": "1h"})
    entry = {"name": NEWER, "phase": "Ready", "createdAt": ago(days=9)}
    await world.status(ID, {"variants": [
        {**entry, "name": VARIANT}, {**entry, "lastRestoreTime": ago(minutes=5), "restores": 1},
    ]})  # fmt: skip
    async with world.agent() as agent:
        await world.pod(agent)
        await until(lambda: is_left(world, [NEWER]))
    assert stored(world) == [NEWER]


async def test_what_is_restored_from_stays_until_that_ends(world: World) -> None:
    async with world.agent() as agent:
        await world.pod(agent)
        async with in_use(world.stored(ID, VARIANT)):
            await world.checkpoint(ID, VARIANT, "c" * 16, NEWER, spec={"keep": 1})
            await until(lambda: is_left(world, [VARIANT, NEWER]))
            assert stored(world) == [VARIANT, NEWER]
        await until(lambda: is_left(world, [NEWER]))
    assert stored(world) == [NEWER]


async def test_with_no_pod_left_a_cleaner_comes_for_it(world: World) -> None:
    await world.bind()
    async with world.agent("node-1") as one, world.agent("node-2"):
        await world.checkpoint(ID, VARIANT, NEWER, spec={"keep": 1})
        await until(world.cleaners)
        await world.run_cleaner(one)
        await until(lambda: is_left(world, [NEWER]))

        async def is_ended() -> bool:
            return all(e["metadata"].get("deletionTimestamp") for e in await world.cleaners())

        await until(is_ended)
    assert stored(world) == [NEWER]


async def test_where_the_claim_is_gone_only_the_entries_go(world: World) -> None:
    async with world.agent():
        await world.checkpoint(ID, VARIANT, NEWER, spec={"keep": 1})
        await until(lambda: is_left(world, [NEWER]))
    assert await world.cleaners() == []


async def test_checkpoints_of_earlier_templates_of_a_workload_go(world: World) -> None:
    names = [f"{number:016x}" for number in range(3)]
    async with world.agent(keep=2) as agent:
        await world.pod(agent)
        for number, name in enumerate(names):
            await world.checkpoint(name, VARIANT, identity=name)
            await world.status(name, {"variants": [variant(VARIANT, hours=9 - number)]})
        await until(lambda: is_left(world, [], of=names[0]))
    assert [stored(world, name) for name in names] == [[], [VARIANT], [VARIANT]]


def variant(name: str, *, size: int = 0, **span: float) -> JSON:
    return {"name": name, "phase": "Ready", "createdAt": ago(**span), "sizeBytes": size}


async def test_the_least_used_goes_when_a_claim_holds_too_much(world: World) -> None:
    await world.checkpoint("one", VARIANT)
    await world.checkpoint("two", VARIANT, NEWER)
    await world.status("one", {"variants": [variant(VARIANT, size=60, hours=1)]})
    listed = [variant(VARIANT, size=60, hours=3), variant(NEWER, size=60, hours=2)]
    await world.status("two", {"variants": listed})
    async with world.agent(claim_bytes=150) as agent:
        await world.pod(agent)
        await until(lambda: is_left(world, [NEWER], of="two"))
    assert stored(world, "one") == [VARIANT]
    assert stored(world, "two") == [NEWER]


async def test_room_is_made_for_a_capture_that_waits_for_it(world: World) -> None:
    await world.checkpoint(ID, VARIANT, NEWER)
    listed = [variant(VARIANT, size=60, hours=3), variant(NEWER, size=60, hours=2)]
    await world.status(ID, {"variants": listed})
    async with world.agent(claim_bytes=150) as agent:
        await world.pod(agent)
        await asyncio.sleep(3)
        assert stored(world) == [VARIANT, NEWER]
        agent.collector.want_room(world.namespace, CLAIM, 80)
        await until(lambda: is_left(world, [NEWER]))
    assert stored(world) == [NEWER]


async def test_the_objects_of_superseded_checkpoints_go_at_last(world: World) -> None:
    names = [f"{number:016x}" for number in range(5)]
    now = ago()
    trimmed = {"type": "Trimmed", "status": "True", "reason": "Superseded", "message": ""}
    for name in names:
        await world.checkpoint(
            name, identity=name, conditions=[{**trimmed, "lastTransitionTime": now}]
        )
    await world.bind()
    async with world.agent() as agent:
        await world.pod(agent)

        async def is_three() -> bool:
            return len((await world.api.get(world.checkpoints))["items"]) == 3

        await until(is_three)
        await asyncio.sleep(3)
        assert await is_three()


async def test_agents_of_several_nodes_do_it_once(world: World) -> None:
    async with world.agent("node-1") as one, world.agent("node-2") as two:
        await world.pod(one, "web-1")
        await world.pod(two, "web-2")
        await world.checkpoint(ID, VARIANT, "c" * 16, NEWER, spec={"keep": 1})
        await until(lambda: is_left(world, [NEWER]))
    assert stored(world) == [NEWER]
