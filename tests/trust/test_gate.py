"""Images made by hand: what the gate stops, and what it writes anew. Without a container."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.criu import framing
from agent.criu.bundle import Bundle, messages
from agent.trust import capabilities, gate
from agent.trust.credentials import of_status
from agent.trust.gate import Passed
from agent.trust.labels import Label
from agent.trust.rights import UNLIMITED, Container, Credentials
from chrek.errors import DamagedError, ExceedsError
from tests.trust.forging import MESSAGES

HEAD = b"\x19CVT\x00\x00\x00\x00"
NAMESPACES = {
    name: number
    for number, name in enumerate(
        ["pid_ns_id", "net_ns_id", "ipc_ns_id", "uts_ns_id", "time_ns_id", "mnt_ns_id"], 1
    )
}
PROFILE = Label("cri-containerd.apparmor.d", apparmor=True)
FILTER, OTHER = b"\x06\0\0\0\0\0\xff\x7f", b"\x06\0\0\0\0\0\x05\0"
DEFAULT = 0xA80425FB
"""What containerd gives to a container that asks for nothing."""


def container(**changed: Any) -> Container:
    """Root with the default capabilities and nothing else."""
    credentials = Credentials(
        who="PID 1", uids=(0,) * 4, gids=(0,) * 4, groups=(), inheritable=0, permitted=DEFAULT,
        effective=DEFAULT, bounding=DEFAULT, ambient=0, no_new_privileges=False,
    )  # fmt: skip
    own = {key: changed.pop(key) for key in set(changed) & set(Credentials.__slots__)}
    limits = ((UNLIMITED, UNLIMITED),) * 13 + ((0, 0), (0, 0), (UNLIMITED, UNLIMITED))
    made = Container(
        credentials=_replace(credentials, own), limits=limits, nice=0, oom_score_adj=0,
        filters=(), label=Label(""), own_label=Label(""),
    )  # fmt: skip
    return _replace(made, changed)


def _replace(value: Any, changed: dict[str, Any]) -> Any:
    return replace(value, **changed)


class Images:
    """A tree of the reaper (PID 1000) and a process (1001) with a thread (1002)."""

    def __init__(self, bundle: Bundle) -> None:
        self._bundle = bundle
        self.entries: dict[str, list[Any]] = {}
        self.others: list[str] = ["timens-0.img", "mm-1000.img", "pages-1.img"]
        inventory = self.add("inventory.img", img_version=2)
        for field, number in NAMESPACES.items():
            setattr(inventory.root_ids, field, number)
        _identified(inventory.root_ids)
        self.add("pstree.img", pid=1000, ppid=0, pgid=1000, sid=1000, threads=[1000])
        self.add("pstree.img", pid=1001, ppid=1000, pgid=1001, sid=1001, threads=[1001, 1002])
        self.add("files.img", type=1, id=1)
        for pid in (1000, 1001):
            ids = self.add(f"ids-{pid}.img", **NAMESPACES)
            _identified(ids)
        for tid in (1000, 1001, 1002):
            core = self.add(f"core-{tid}.img", mtype=1)
            _live(core, leader=tid != 1002)

    def add(self, name: str, **fields: Any) -> Any:
        module, message = MESSAGES[name.partition(".")[0].partition("-")[0]]
        entry = getattr(messages(self._bundle.path, module), message)(**fields)
        self.entries.setdefault(name, []).append(entry)
        return entry

    def core(self, tid: int) -> Any:
        return self.entries[f"core-{tid}.img"][0]

    def creds(self, tid: int) -> Any:
        return self.core(tid).thread_core.creds

    def filter(self, *chain: bytes, flags: int = 0) -> int:
        """Add a chain of programs, oldest last in the image as CRIU has it; its number."""
        if "seccomp.img" not in self.entries:
            self.add("seccomp.img")
        programs = self.entries["seccomp.img"][0].seccomp_filters
        for place, program in enumerate(reversed(chain)):
            made = programs.add(filter=program, flags=flags)
            if place:
                made.prev = len(programs) - 2
        return len(programs) - 1

    def seccomp(self, tid: int, number: int) -> None:
        self.core(tid).thread_core.seccomp_mode = 2
        self.core(tid).thread_core.seccomp_filter = number

    def passed(self, theirs: Container) -> Passed:
        content = {name: framing.joined(HEAD, entries) for name, entries in self.entries.items()}
        return gate.passed(self._bundle, [*content, *self.others], content, theirs)

    def read(self, passed: Passed, name: str) -> Any:
        module, message = MESSAGES[name.partition(".")[0].partition("-")[0]]
        kind = getattr(messages(self._bundle.path, module), message)
        return next(framing.entries(passed.images[name], kind))


def _identified(ids: Any) -> None:
    ids.vm_id = ids.files_id = ids.fs_id = ids.sighand_id = 1


def _live(core: Any, *, leader: bool) -> None:
    if leader:
        core.tc.task_state, core.tc.exit_code = 1, 0
        core.tc.personality, core.tc.flags, core.tc.blk_sigset = 0, 0, 0
        core.tc.comm = "program"
        core.tc.cg_set, core.tc.loginuid = 3, 1000
        for _ in range(16):
            core.tc.rlimits.rlimits.add(cur=4096, max=UNLIMITED)
        for number in (13, 14):
            core.tc.rlimits.rlimits[number].cur = core.tc.rlimits.rlimits[number].max = 0
    thread = core.thread_core
    thread.futex_rla, thread.futex_rla_len, thread.comm, thread.cg_set = 0, 24, "program", 3
    for field in ("uid", "gid", "euid", "egid", "suid", "sgid", "fsuid", "fsgid", "secbits"):
        setattr(thread.creds, field, 0)
    for field in ("cap_inh", "cap_prm", "cap_eff", "cap_bnd", "cap_amb"):
        getattr(thread.creds, field)[:] = [0, 0]


@pytest.fixture
def images(bundle: Bundle) -> Images:
    return Images(bundle)


def test_a_tree_that_asks_for_nothing_passes(images: Images) -> None:
    passed = images.passed(container())
    assert passed.threads == {1000: (1000,), 1001: (1001, 1002)}
    assert passed.images["pstree.img"] == framing.joined(HEAD, images.entries["pstree.img"])


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_images_with_bytes_changed_pass_or_are_refused(bundle: Bundle, data: Any) -> None:
    """Nothing but an error of chrek's own comes out, however hostile what went in."""
    images = Images(bundle)
    images.seccomp(1001, images.filter(FILTER, OTHER))
    images.add("ghost-file-1.img", uid=0, gid=0, mode=0o100644)
    content = {name: framing.joined(HEAD, entries) for name, entries in images.entries.items()}
    for _ in range(3):
        name = data.draw(st.sampled_from(sorted(content)))
        changed = bytearray(content[name] or b"\0")
        at = data.draw(st.integers(0, len(changed) - 1))
        changed[at] = data.draw(st.integers(0, 255))
        content[name] = bytes(changed[: data.draw(st.sampled_from([len(changed), at]))])
    with suppress(DamagedError, ExceedsError):
        gate.passed(bundle, [*content, "timens-0.img"], content, container(filters=(FILTER,)))


# ---- capabilities and users ----------------------------------------------------------------------


@pytest.mark.parametrize("field", ["cap_prm", "cap_eff", "cap_amb", "cap_inh", "cap_bnd"])
@pytest.mark.parametrize("tid", [1000, 1001, 1002])
def test_a_capability_outside_of_the_bounding_set_is_stopped_in_any_thread(
    images: Images, field: str, tid: int
) -> None:
    getattr(images.creds(tid), field)[:] = [capabilities.SYS_ADMIN, 0]
    with pytest.raises(ExceedsError, match=r"program .*CAP_SYS_ADMIN in its .* set"):
        images.passed(container())


def test_without_capabilities_none_pass_and_without_no_new_privs_those_of_the_bounding_set(
    images: Images,
) -> None:
    images.creds(1001).cap_prm[:] = [capabilities.CHOWN, 0]
    nobody = {"permitted": 0, "effective": 0}
    for creds in (images.creds(tid) for tid in (1000, 1001, 1002)):
        creds.no_new_privs = 1
    images.passed(container(permitted=0, effective=0))
    for less in (nobody | {"bounding": 0}, nobody | {"no_new_privileges": True}):
        with pytest.raises(ExceedsError, match="CAP_CHOWN"):
            images.passed(container(**less))


def test_a_set_with_a_bit_that_has_no_name_is_stopped(images: Images) -> None:
    images.creds(1000).cap_bnd[:] = [0, 1 << 31]
    with pytest.raises(ExceedsError, match="capability 63"):
        images.passed(container())


@pytest.mark.parametrize("field", ["uid", "euid", "suid", "fsuid"])
def test_any_user_passes_where_the_container_can_change_it(images: Images, field: str) -> None:
    setattr(images.creds(1001), field, 1234)
    images.passed(container())
    with pytest.raises(ExceedsError, match="uid 1234"):
        images.passed(without("SETUID"))


def without(name: str) -> Container:
    less = DEFAULT & ~capabilities.bit(name)
    return container(permitted=less, effective=less, bounding=less)


@pytest.mark.parametrize("field", ["gid", "egid", "sgid", "fsgid"])
def test_any_group_passes_where_the_container_can_change_it(images: Images, field: str) -> None:
    setattr(images.creds(1001), field, 1234)
    images.passed(container())
    with pytest.raises(ExceedsError, match="gid 1234"):
        images.passed(without("SETGID"))


def test_groups_that_the_container_has_pass(images: Images) -> None:
    images.creds(1002).groups[:] = [2000, 3000]
    theirs = without("SETGID")
    with pytest.raises(ExceedsError, match="gid 2000"):
        images.passed(theirs)
    images.passed(
        _replace(theirs, {"credentials": _replace(theirs.credentials, {"groups": (2000, 3000)})})
    )


def test_securebits_need_setpcap_but_for_keeping_capabilities(images: Images) -> None:
    images.creds(1001).secbits = 1 << 4
    images.passed(without("SETPCAP"))
    images.creds(1001).secbits = 1 << 2
    images.passed(container())
    with pytest.raises(ExceedsError, match="securebits"):
        images.passed(without("SETPCAP"))


def test_credentials_read_from_the_kernel_are_compared_in_the_same_way() -> None:
    status = "Name:\tx\nUid:\t1\t2\t3\t4\nGid:\t5\t6\t7\t8\nGroups:\t9 10 \nNoNewPrivs:\t1\n"
    status += "".join(
        f"Cap{kind}:\t{n:016x}\n" for n, kind in enumerate(["Inh", "Prm", "Eff", "Bnd", "Amb"])
    )
    found = of_status("x", status)
    assert (found.uids, found.gids, found.groups) == ((1, 2, 3, 4), (5, 6, 7, 8), (9, 10))
    assert (found.inheritable, found.permitted, found.bounding, found.ambient) == (0, 1, 3, 4)
    assert found.no_new_privileges


# ---- seccomp -------------------------------------------------------------------------------------


def test_a_container_without_filters_takes_tasks_with_and_without(images: Images) -> None:
    images.seccomp(1001, images.filter(FILTER, OTHER))
    passed = images.passed(container())
    assert len(images.read(passed, "seccomp.img").seccomp_filters) == 2


def test_every_thread_has_the_containers_filters_or_its_leaders_that_are_shared(
    images: Images,
) -> None:
    theirs = container(filters=(FILTER,))
    images.seccomp(1000, images.filter(FILTER))
    shared = images.filter(FILTER, OTHER, flags=1)
    images.seccomp(1001, shared)
    before = framing.joined(HEAD, images.entries["seccomp.img"])
    assert images.passed(theirs).images["seccomp.img"] == before
    for program in images.entries["seccomp.img"][0].seccomp_filters:
        program.flags = 0
    with pytest.raises(
        ExceedsError, match=r"thread program .1002 of PID 1001. would have no seccomp"
    ):
        images.passed(theirs)
    images.seccomp(1002, images.filter(FILTER))
    images.passed(theirs)


@pytest.mark.parametrize("chain", [(OTHER,), (OTHER, FILTER), (FILTER,)])
def test_filters_that_are_missing_are_put_below_those_that_are_there(
    images: Images, chain: tuple[bytes, ...]
) -> None:
    theirs = container(filters=(FILTER, FILTER))
    for tid in (1000, 1001):
        images.seccomp(tid, images.filter(*chain, flags=1))
    passed = images.passed(theirs)
    programs = images.read(passed, "seccomp.img").seccomp_filters
    for tid in (1000, 1001):
        number = images.read(passed, f"core-{tid}.img").thread_core.seccomp_filter
        found: list[bytes] = []
        while number is not None:
            found.append(programs[number].filter)
            assert programs[number].flags == 1
            number = programs[number].prev if programs[number].HasField("prev") else None
        assert tuple(found) == (FILTER, FILTER, *chain)


@pytest.mark.parametrize("damage", ["beyond", "circle", "no program", "flags", "mixed", "empty"])
def test_a_chain_of_filters_that_is_none_is_damage(images: Images, damage: str) -> None:
    number = images.filter(FILTER, OTHER)
    programs = images.entries["seccomp.img"][0].seccomp_filters
    images.seccomp(1001, number if damage != "beyond" else 7)
    if damage == "circle":
        programs[0].prev = 1
    elif damage == "no program":
        programs[0].filter = b"1234567"
    elif damage == "flags":
        programs[1].flags = 8
    elif damage == "mixed":
        programs[0].flags = 1
    elif damage == "empty":
        del images.entries["seccomp.img"][:]
    with pytest.raises(DamagedError):
        images.passed(container())


def test_filters_in_the_form_of_an_older_criu_are_refused(images: Images) -> None:
    images.core(1001).tc.old_seccomp_mode = 2
    with pytest.raises(DamagedError, match="older CRIU"):
        images.passed(container())


# ---- what is the placeholder's -------------------------------------------------------------------


def test_cgroups_and_login_uid_are_taken_out(images: Images) -> None:
    images.entries["cgroup.img"] = []
    passed = images.passed(container())
    for tid in (1000, 1001, 1002):
        core = images.read(passed, f"core-{tid}.img")
        assert not core.thread_core.HasField("cg_set")
        assert not core.tc.HasField("cg_set")
        assert not core.tc.HasField("loginuid")


def test_no_label_of_the_image_is_kept(images: Images) -> None:
    images.creds(1001).lsm_profile = "unconfined_u:unconfined_r:unconfined_t:s0"
    images.creds(1001).lsm_sockcreate = "x"
    images.entries["inventory.img"][0].lsmtype = 1
    passed = images.passed(container())
    for tid in (1000, 1001, 1002):
        creds = images.read(passed, f"core-{tid}.img").thread_core.creds
        assert not creds.HasField("lsm_profile")
        assert not creds.HasField("lsm_sockcreate")
    assert images.read(passed, "inventory.img").lsmtype == 0


def test_every_thread_gets_the_placeholders_apparmor_profile(images: Images) -> None:
    """CRIU is the agent's, and unconfined: what it makes would be unconfined too."""
    images.creds(1001).lsm_profile = "evil"
    theirs = container(label=PROFILE, own_label=Label("unconfined", apparmor=True))
    passed = images.passed(theirs)
    for tid in (1000, 1001, 1002):
        assert images.read(passed, f"core-{tid}.img").thread_core.creds.lsm_profile == PROFILE.text
    assert images.read(passed, "inventory.img").lsmtype == 2


def test_an_unconfined_placeholder_gets_no_profile(images: Images) -> None:
    images.creds(1001).lsm_profile = "evil"
    theirs = container(label=Label("unconfined", True), own_label=Label("unconfined", True))
    passed = images.passed(theirs)
    assert not images.read(passed, "core-1001.img").thread_core.creds.HasField("lsm_profile")


def test_a_label_that_criu_cannot_give_is_refused(images: Images) -> None:
    label = Label("system_u:system_r:container_t:s0:c1,c2")
    with pytest.raises(ExceedsError, match="container_t"):
        images.passed(container(label=label, own_label=Label("system_u:system_r:spc_t:s0")))
    images.passed(container(label=label, own_label=label))


def test_limits_are_at_most_the_containers_hard_ones(images: Images) -> None:
    del images.core(1000).tc.rlimits.rlimits[:]
    theirs = container()
    limits = list(theirs.limits)
    limits[7], limits[6] = (512, 1024), (5000, 6000)
    passed = images.passed(_replace(theirs, {"limits": tuple(limits)}))
    task = images.read(passed, "core-1001.img").tc.rlimits.rlimits
    assert [(limit.cur, limit.max) for limit in task][6:8] == [(4096, 6000), (1024, 1024)]
    bare = images.read(passed, "core-1000.img").tc.rlimits.rlimits
    assert [(limit.cur, limit.max) for limit in bare] == limits


def test_with_sys_resource_limits_are_the_sources(images: Images) -> None:
    more = DEFAULT | capabilities.SYS_RESOURCE
    passed = images.passed(container(permitted=more, bounding=more, limits=((1, 1),) * 16))
    assert images.read(passed, "core-1001.img").tc.rlimits.rlimits[0].max == UNLIMITED


def test_criu_runs_no_commands_for_a_network_lock(images: Images) -> None:
    """The name of the nftables table to delete stands in the image, and goes into a command."""
    images.entries["inventory.img"][0].network_lock_method = 1
    passed = images.passed(container())
    assert images.read(passed, "inventory.img").network_lock_method == 2


# ---- scheduling ----------------------------------------------------------------------------------


def test_real_time_passes_up_to_the_containers_limit(images: Images) -> None:
    images.core(1002).thread_core.sched_policy = 1
    images.core(1002).thread_core.sched_prio = 10
    theirs = container()
    with pytest.raises(ExceedsError, match="SCHED_FIFO"):
        images.passed(theirs)
    limits = (*theirs.limits[:14], (10, 10), theirs.limits[15])
    images.passed(_replace(theirs, {"limits": limits}))
    more = DEFAULT | capabilities.SYS_NICE
    images.passed(container(permitted=more, bounding=more))


def test_a_policy_that_nobody_knows_is_stopped(images: Images) -> None:
    images.core(1001).thread_core.sched_policy = 6
    with pytest.raises(ExceedsError, match="policy 6"):
        images.passed(container())


@pytest.mark.parametrize("nice", [-20, -1])
def test_a_nicer_container_makes_no_urgent_task(images: Images, nice: int) -> None:
    images.core(1001).thread_core.sched_nice = nice
    with pytest.raises(ExceedsError, match=f"nice {nice}"):
        images.passed(container())
    images.passed(container(nice=-20))


# ---- namespaces and kinds ------------------------------------------------------------------------


@pytest.mark.parametrize("field", [name for name in NAMESPACES if name != "time_ns_id"])
def test_a_namespace_of_its_own_is_stopped(images: Images, field: str) -> None:
    for pid in (1000, 1001):
        setattr(images.entries[f"ids-{pid}.img"][0], field, 99)
    with pytest.raises(ExceedsError, match="namespace of its own"):
        images.passed(container())


def test_a_namespace_that_only_a_newer_criu_writes_down_is_stopped(images: Images) -> None:
    images.entries["ids-1001.img"][0].user_ns_id = 9
    with pytest.raises(ExceedsError, match="user namespace"):
        images.passed(container())


def test_a_tree_that_was_restored_before_has_clocks_of_its_own(images: Images) -> None:
    for pid in (1000, 1001):
        images.entries[f"ids-{pid}.img"][0].time_ns_id = 9
    with pytest.raises(ExceedsError, match=r"timens-0\.img"):
        images.passed(container())
    images.others[0] = "timens-9.img"
    images.passed(container())
    images.entries["ids-1001.img"][0].time_ns_id = 8
    with pytest.raises(ExceedsError, match="time namespace"):
        images.passed(container())


@pytest.mark.parametrize(
    "name",
    [
        *("mountpoints-6.img", "netns-2.img", "userns-7.img", "pidns-1.img", "utsns-4.img"),
        *("ipcns-var-3.img", "nftables-2.img", "tmpfs-1.tar.gz", "creds-1000.img", "parent"),
        *("rlimit-1000.img", "bpfmap-file.img", "apparmor.img", "something-new.img", "core.img"),
        *("timens-1.img", "action-script", "reg-files.img", "pages-1.img.gz", "pidfd.img"),
    ],
)
def test_an_image_of_another_kind_is_stopped(images: Images, name: str) -> None:
    images.others.append(name)
    with pytest.raises(ExceedsError, match="has an image"):
        images.passed(container())


def test_an_image_that_is_named_twice_is_damage(images: Images) -> None:
    images.others.append("core-1000.img")
    with pytest.raises(DamagedError, match="twice"):
        images.passed(container())


DAMAGES: dict[str, Callable[[Images], object]] = {
    "no inventory": lambda i: i.entries.pop("inventory.img"),
    "no root ids": lambda i: i.entries["inventory.img"][0].ClearField("root_ids"),
    "two inventories": lambda i: i.add("inventory.img", img_version=2),
    "no tree": lambda i: i.entries["pstree.img"].clear(),
    "two trees": lambda i: setattr(i.entries["pstree.img"][1], "ppid", 0),
    "no files": lambda i: i.entries.pop("files.img"),
    "no ids": lambda i: i.entries.pop("ids-1001.img"),
    "no core": lambda i: i.entries.pop("core-1002.img"),
    "empty core": lambda i: i.entries["core-1002.img"].clear(),
    "no credentials": lambda i: i.core(1002).thread_core.ClearField("creds"),
    "a thread as a process": lambda i: _live(i.core(1002), leader=True),
    "a process as a thread": lambda i: i.core(1001).ClearField("tc"),
    "ids in the core": lambda i: _identified(i.core(1001).ids),
    "state": lambda i: setattr(i.core(1001).tc, "task_state", 6),
    "capabilities": lambda i: i.creds(1000).cap_prm.append(0),
    "no capabilities": lambda i: i.creds(1000).cap_bnd.__delitem__(slice(None)),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_what_is_no_tree_of_processes_is_damage(
    images: Images, damage: Callable[[Images], object]
) -> None:
    damage(images)
    with pytest.raises(DamagedError):
        images.passed(container())


def test_the_dead_have_no_rights_to_look_at(images: Images) -> None:
    images.add("pstree.img", pid=1003, ppid=1000, pgid=1000, sid=1000, threads=[3949917984])
    dead = images.add("core-1003.img", mtype=1)
    _live(dead, leader=True)
    dead.ClearField("thread_core")
    dead.tc.task_state = 2
    assert 1003 not in images.passed(container()).threads


# ---- open files ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "capability"), [(10, "NET_RAW"), (15, "NET_ADMIN"), (12, "SYS_ADMIN")]
)
def test_files_that_take_a_capability_pass_with_it(
    images: Images, kind: int, capability: str
) -> None:
    images.add("files.img", type=kind, id=2)
    less = DEFAULT & ~capabilities.bit(capability)
    with pytest.raises(ExceedsError, match=f"CAP_{capability}"):
        images.passed(container(permitted=less, bounding=less))
    more = DEFAULT | capabilities.bit(capability)
    images.passed(container(permitted=more, bounding=more))


def test_a_raw_socket_is_one_of_them(images: Images) -> None:
    entry = images.add("files.img", type=4, id=2)
    isk = entry.isk
    for field in isk.DESCRIPTOR.fields:
        if field.is_required and field.message_type is None:
            setattr(isk, field.name, 3 if field.name == "type" else 0)
    for part in (isk.fown, isk.opts):
        for field in part.DESCRIPTOR.fields:
            if field.is_required:
                setattr(part, field.name, 0)
    images.passed(container())
    with pytest.raises(ExceedsError, match="CAP_NET_RAW"):
        images.passed(without("NET_RAW"))


@pytest.mark.parametrize("kind", [0, 14, 16, 19])
def test_files_of_these_kinds_never_pass(images: Images, kind: int) -> None:
    images.add("files.img", type=kind, id=2)
    everything = (1 << 41) - 1
    with pytest.raises(ExceedsError, match="not allowed"):
        images.passed(container(permitted=everything, bounding=everything))


@pytest.mark.parametrize(
    ("fields", "capability", "said"),
    [
        ({"uid": 5, "gid": 0, "mode": 0o100644}, "CHOWN", "uid 5"),
        ({"uid": 0, "gid": 5, "mode": 0o102755}, "CHOWN", "set-gid 5"),
        ({"uid": 0, "gid": 0, "mode": 0o020666}, "MKNOD", "device"),
        ({"uid": 0, "gid": 0, "mode": 0o060666}, "MKNOD", "device"),
    ],
)
def test_a_deleted_file_that_the_container_could_not_have_made_is_stopped(
    images: Images, fields: dict[str, int], capability: str, said: str
) -> None:
    images.add("ghost-file-1f.img", **fields)
    images.passed(container())
    with pytest.raises(ExceedsError, match=said):
        images.passed(without(capability))
