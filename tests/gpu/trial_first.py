"""First session on the GPU machine: what works, in numbers. Each step by itself; never stops."""

import asyncio
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
import traceback
import urllib.request
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[1]))
from agent.cuda.errors import CUDAError  # noqa
from agent.cuda.helper.client import Helper  # noqa
from agent.cuda.hold.held import held  # noqa
from agent.kernel import process  # noqa
from agent.runtime.runc.containers import Containers  # noqa

OUT = Path(os.environ.get("OUT", "/tmp"))
PYTHON = os.environ.get("CHREK_GPU_PYTHON", "python3")
TENSOR = str(HERE / "programs" / "tensor.py")
ROOT = Path(os.environ.get("TRIAL_ROOT", "/var/lib/chrek-trial"))
results: dict = {}
T0 = time.time()
_open = urllib.request.build_opener(urllib.request.ProxyHandler({})).open


def say(*words):
    print(f"[{time.time() - T0:6.1f}]", *words, flush=True)


def sh(command, seconds=60):
    try:
        done = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=seconds)
        return (done.stdout + done.stderr).strip()
    except subprocess.TimeoutExpired:
        return "TIMEOUT"


def get(port, path="/", seconds=60):
    with _open(f"http://127.0.0.1:{port}{path}", timeout=seconds) as answer:
        return json.loads(answer.read())


def wait(port, seconds=90, process=None):
    end = time.time() + seconds
    while time.time() < end and (process is None or process.poll() is None):
        try:
            get(port, "/health", 5)
            return
        except OSError:
            time.sleep(0.05)
    raise TimeoutError(f"port {port}")


def start(port, gib, *more, program=TENSOR, env=None):
    log = open(f"/tmp/app-{port}.log", "w")
    made = subprocess.Popen([PYTHON, program, str(port), str(gib), *more], stdin=subprocess.DEVNULL,
                            stdout=log, stderr=log, start_new_session=True, env={**os.environ, **(env or {})})
    try:
        wait(port, process=made)
    except TimeoutError:
        made.kill()
        say(Path(log.name).read_text()[-1500:])
        raise
    return made


def nvidia(pid):
    fds = [t for t in process.descriptor_targets(pid).values() if "nvidia" in t]
    maps = [l for l in Path(f"/proc/{pid}/maps").read_text().splitlines() if "/dev/nvidia" in l]
    return {"fds": sorted(set(fds)), "n_fds": len(fds), "maps": len(maps),
            "map_names": sorted({l.split()[-1] for l in maps})}


def threads(pid):
    found = {}
    for t in os.listdir(f"/proc/{pid}/task"):
        with contextlib.suppress(OSError):
            found[t] = Path(f"/proc/{pid}/task/{t}/comm").read_text().strip()
    return found


def rollup(pid):
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return {k: int(v) >> 10 for k, v in re.findall(r"^(Rss|Anonymous|AnonHugePages|Locked):\s+(\d+) kB", text, re.M)}


class Timed(dict):
    @contextlib.contextmanager
    def __call__(self, name):
        began = time.time()
        try:
            yield
        finally:
            self[name] = round(time.time() - began, 3)


async def result_of(coroutine):
    try:
        return repr(await coroutine)
    except Exception as error:
        return f"{type(error).__name__}: {error}"


async def environment(_):
    found = {}
    for name, command in {
        "uname": "uname -a", "nvidia-smi": "nvidia-smi -L; nvidia-smi --query-gpu=name,driver_version,persistence_mode,memory.total --format=csv",
        "dev": "ls -la /dev/nvidia* /dev/nvidia-caps 2>&1", "mounts": "cat /proc/self/mountinfo",
        "cuda": "ldconfig -p | grep -E 'libcuda|nvidia-ml'; echo LD=$LD_LIBRARY_PATH; env | grep -iE 'nvidia|cuda' ",
        "driver": "cat /proc/driver/nvidia/version; cat /proc/driver/nvidia/gpus/*/information; cat /proc/driver/nvidia/params | head -60",
        "cgroup": "cat /proc/self/cgroup; ls /sys/fs/cgroup; cat /sys/fs/cgroup/cgroup.controllers",
        "mem": "head -3 /proc/meminfo; nproc; df -h / /tmp /dev/shm /var/lib; cat /sys/kernel/mm/transparent_hugepage/*",
        "caps": "grep Cap /proc/self/status; ulimit -a; cat /proc/sys/kernel/yama/ptrace_scope",
        "modules": "lsmod | head -40; which modprobe nft iptables tc ip nsenter mount curl gcc nvcc; ls /lib/modules",
        "net": "cat /proc/net/dev", "one": "ls -la /proc/1/root/ | head -5; cat /proc/1/cmdline | tr '\\0' ' '",
        "check": f"{sys.executable} -m chrek.cli.main --root {ROOT} check",
        "criucheck": "python3 -c \"import sys; sys.path.insert(0,'.'); from agent.criu.bundle import find; import subprocess; print(subprocess.run([*find().command(),'--no-default-config','check','--all'],capture_output=True,text=True))\"",
        "torch": f"{PYTHON} -c 'import torch,transformers,sys; print(torch.__version__, transformers.__version__, sys.executable, torch.cuda.get_device_name())'",
        "pip": f"{PYTHON} -m pip list 2>/dev/null | grep -iE 'cuda|nvidia|torch|vllm|msgspec|pytest|grpc|protobuf|hypothesis'",
    }.items():
        found[name] = sh(command)
        say(f"--- {name}\n{found[name][:2500]}")
    return found


async def inventory(helper):
    t = Timed()
    with t("first"):
        found = await helper.inventory()
    with t("second"):
        await helper.inventory()
    return {"times": t, "inventory": repr(found)}


async def plain(helper):
    """CUDA's own steps on a plain process of 8 GiB, and what is seen of it from outside."""
    app = start(9101, 8, "pinned")
    try:
        pid = app.pid
        found = {"before": get(9101), "see": nvidia(pid), "threads": threads(pid), "rollup": rollup(pid)}
        t = Timed()
        for round_number in range(2):
            with t(f"tid{round_number}"):
                tid = await helper.restore_thread(pid)
            with t(f"lock{round_number}"):
                await helper.lock(pid, 10000)
            with t(f"checkpoint{round_number}"):
                await helper.checkpoint(pid)
            found[f"paused{round_number}"] = {
                "state": (await helper.state(pid)).value, "see": nvidia(pid), "threads": threads(pid),
                "rollup": rollup(pid), "tid": tid, "health": get(9101, "/health", 5),
                "restore_thread": await result_of(helper.restore_thread(pid))}
            with t(f"restore{round_number}"):
                await helper.restore(pid, {})
            with t(f"unlock{round_number}"):
                await helper.unlock(pid)
            found[f"same{round_number}"] = get(9101) == found["before"]
        found["threads_after"] = threads(pid)
        found["times"] = t
        return found
    finally:
        app.kill()


async def holding(helper):
    """Which ways hold the app while only the restore thread runs."""
    found = {}
    for way in ("running", "stopped", "checkpoint-too"):
        app = start(9102, 2)
        try:
            pid = app.pid
            before = get(9102)
            tid = await helper.restore_thread(pid)
            one = found[way] = {"tid": tid}
            t = Timed()
            await helper.lock(pid, 10000)
            if way != "checkpoint-too":
                await helper.checkpoint(pid)
            if way == "stopped":
                os.kill(pid, signal.SIGSTOP)
                await asyncio.sleep(0.1)
            async with asyncio.timeout(60):
                with t("held"):
                    hold = held([pid], [tid])
                    await hold.__aenter__()
                try:
                    if way == "checkpoint-too":
                        with t("checkpoint"):
                            await helper.checkpoint(pid)
                    answers = []

                    async def knock():
                        try:
                            await asyncio.to_thread(get, 9102, "/health", 30)
                            answers.append(time.time())
                        except Exception as error:
                            answers.append(repr(error))

                    knocking = asyncio.create_task(knock())
                    one["threads_held"] = {n: (threads(pid).get(n), Path(f"/proc/{pid}/task/{n}/stat").read_text().rpartition(")")[2].split()[0]) for n in os.listdir(f"/proc/{pid}/task")}
                    with t("restore"):
                        await helper.restore(pid, {})
                    one["threads_restored"] = {n: (threads(pid).get(n), Path(f"/proc/{pid}/task/{n}/stat").read_text().rpartition(")")[2].split()[0]) for n in os.listdir(f"/proc/{pid}/task")}
                    with t("unlock"):
                        await helper.unlock(pid)
                    await asyncio.sleep(0.3)
                    one["answered_while_held"] = bool(answers)
                    released = time.time()
                    with t("release"):
                        await hold.__aexit__(None, None, None)
                    await knocking
                    one["answers"] = [a - released if isinstance(a, float) else a for a in answers]
                    one["same"] = get(9102) == before
                except BaseException as error:
                    one["error"] = repr(error)
                    await hold.__aexit__(type(error), error, None)
            one["times"] = t
        except Exception as error:
            found.setdefault(way, {})["failed"] = f"{type(error).__name__}: {error}"
        finally:
            app.kill()
            app.wait()
        say(way, json.dumps(found[way], default=str)[:1500])
    return found


async def words(helper):
    """The driver's answers for what is not as it should be."""
    found = {"self": await result_of(helper.restore_thread(os.getpid())),
             "self_state": await result_of(helper.state(os.getpid())),
             "dead": await result_of(helper.restore_thread(4194303)),
             "pid1": await result_of(helper.restore_thread(1))}
    ask = lambda call, **more: helper._ask(call, 60, **more)  # noqa
    raw = {}
    for call in ("restore_thread", "state", "lock", "checkpoint", "restore", "unlock"):
        raw[f"none:{call}"] = (await ask(call, pid=os.getpid(), **({"timeout_ms": 1000} if call == "lock" else {}))).result
        raw[f"dead:{call}"] = (await ask(call, pid=4194303, **({"timeout_ms": 1000} if call == "lock" else {}))).result
    app = start(9103, 1)
    pid = app.pid
    try:
        uuid = (await helper.inventory()).gpus[0].uuid
        raw["running:checkpoint"] = (await ask("checkpoint", pid=pid)).result
        raw["running:unlock"] = (await ask("unlock", pid=pid)).result
        raw["running:restore"] = (await ask("restore", pid=pid)).result
        busy = asyncio.create_task(asyncio.to_thread(get, 9103, "/busy/8"))
        await asyncio.sleep(0.5)
        t = Timed()
        with t("lock_under_load"):
            raw["busy:lock"] = (await ask("lock", pid=pid, timeout_ms=2000)).result
        raw["busy:state"] = await result_of(helper.state(pid))
        await busy
        get(9103)
        raw["lock"] = (await ask("lock", pid=pid, timeout_ms=10000)).result
        raw["locked:lock"] = (await ask("lock", pid=pid, timeout_ms=1000)).result
        raw["checkpoint"] = (await ask("checkpoint", pid=pid)).result
        raw["checkpointed:unlock"] = (await ask("unlock", pid=pid)).result
        raw["restore:unknown uuid"] = (await ask("restore", pid=pid, devices={"GPU-00000000-0000-0000-0000-000000000001": uuid})).result
        raw["state after"] = await result_of(helper.state(pid))
        raw["restore:to unknown uuid"] = (await ask("restore", pid=pid, devices={uuid: "GPU-00000000-0000-0000-0000-000000000001"})).result
        raw["state after 2"] = await result_of(helper.state(pid))
        raw["restore:identity"] = (await ask("restore", pid=pid, devices={uuid: uuid})).result
        raw["unlock"] = (await ask("unlock", pid=pid)).result
        raw["serves"] = await result_of(asyncio.to_thread(get, 9103))
        return {**found, "raw": raw, "times": t}
    except Exception as error:
        return {**found, "raw": raw, "error": repr(error)}
    finally:
        app.kill()


MANAGED = """
import ctypes, sys, threading, json
from http.server import BaseHTTPRequestHandler, HTTPServer
from cuda.bindings import runtime as r, driver as d
r.cudaFree(0)
if 'managed' in sys.argv:
    print(r.cudaMallocManaged(64<<20, 1))
if 'ipc' in sys.argv:
    e, p = r.cudaMalloc(64<<20); print(r.cudaIpcGetMemHandle(p))
if 'plain' in sys.argv:
    print(r.cudaMalloc(64<<20))
class H(BaseHTTPRequestHandler):
    def do_GET(self):
        b=json.dumps(str(r.cudaDeviceSynchronize())).encode(); self.send_response(200); self.send_header('Content-Length',str(len(b))); self.end_headers(); self.wfile.write(b)
    def log_message(self,*a): pass
HTTPServer(('127.0.0.1',int(sys.argv[1])),H).serve_forever()
"""


async def managed(helper):
    """Managed and shared memory: what /proc shows of them, and what the driver says."""
    Path("/tmp/managed.py").write_text(MANAGED)
    found = {}
    for number, kind in enumerate(("plain", "managed", "ipc")):
        app = start(9110 + number, 0, kind, program="/tmp/managed.py")
        try:
            pid = app.pid
            one = found[kind] = {"see": nvidia(pid), "log": Path(f"/tmp/app-{9110 + number}.log").read_text(),
                                 "maps": [l for l in Path(f"/proc/{pid}/maps").read_text().splitlines() if "nvidia" in l or "zero" in l]}
            for call in ("lock", "checkpoint", "state", "restore", "unlock", "state"):
                answer = await helper._ask(call, 60, pid=pid, **({"timeout_ms": 3000} if call == "lock" else {}))
                one[call] = answer.result or bytes(answer.value).decode()
            one["serves"] = await result_of(asyncio.to_thread(get, 9110 + number, "/", 10))
        finally:
            app.kill()
    return found


async def killed(helper):
    """The helper is killed while the driver copies 16 GiB, in either direction."""
    found = {}
    for step in ("checkpoint", "restore"):
        app = start(9104, 16)
        pid = app.pid
        try:
            before = get(9104)
            own = Helper()
            await own.lock(pid, 10000)
            if step == "restore":
                await own.checkpoint(pid)
            work = asyncio.create_task(own.checkpoint(pid) if step == "checkpoint" else own.restore(pid, {}))
            await asyncio.sleep(0.8)
            killed_pid = own.pid
            os.kill(killed_pid, signal.SIGKILL)
            one = found[step] = {"call": await result_of(work), "states": []}
            for _ in range(30):
                one["states"].append((round(time.time() - T0, 2), await result_of(own.state(pid)), rollup(pid)["Rss"]))
                if "RUNNING" in one["states"][-1][1]:
                    break
                await asyncio.sleep(0.5)
                if len(one["states"]) > 6 and one["states"][-1][1:] == one["states"][-5][1:]:
                    break
            for call in (["checkpoint", "restore", "unlock"] if step == "checkpoint" else ["restore", "unlock"]):
                answer = await own._ask(call, 120, pid=pid)
                one[call] = answer.result or "ok"
                one[f"{call}:state"] = await result_of(own.state(pid))
            one["same"] = await result_of(asyncio.to_thread(lambda: get(9104, "/", 20) == before))
            await own.close()
        except Exception as error:
            found.setdefault(step, {})["error"] = repr(error)
        finally:
            app.kill()
            app.wait()
        say(step, json.dumps(found[step], default=str)[:1200])
    return found


async def full(helper):
    """Restore while another process holds the GPU's memory."""
    free = (await helper.inventory()).gpus[0].free_bytes >> 30
    app = start(9105, 12)
    found = {"free": free}
    hog = None
    try:
        pid = app.pid
        before = get(9105)
        await helper.lock(pid, 10000)
        await helper.checkpoint(pid)
        hog = start(9106, free - 8)
        found["free_with_hog"] = (await helper.inventory()).gpus[0].free_bytes >> 20
        for round_number in range(2):
            answer = await helper._ask("restore", 120, pid=pid)
            found[f"restore{round_number}"] = answer.result or "ok"
            found[f"state{round_number}"] = await result_of(helper.state(pid))
        hog.kill()
        hog.wait()
        await asyncio.sleep(1)
        for call in ("restore", "unlock"):
            answer = await helper._ask(call, 120, pid=pid)
            found[f"{call} with room"] = answer.result or "ok"
        found["same"] = await result_of(asyncio.to_thread(lambda: get(9105, "/", 20) == before))
    finally:
        app.kill()
        if hog:
            hog.kill()
    return found


def chrek(*words, seconds=120):
    began = time.time()
    done = subprocess.run([sys.executable, "-m", "chrek.cli.main", "--root", str(ROOT), *words],
                          capture_output=True, text=True, timeout=seconds)
    say("chrek", " ".join(words)[:120], "->", done.returncode, f"{time.time() - began:.2f} s", done.stderr[-1500:], done.stdout[-600:])
    return done


async def cpu(_):
    """The engine there, without a GPU."""
    found = {}
    program = "import time,itertools\nfor n in itertools.count():\n print(n,flush=True); time.sleep(.2)"
    found["run"] = chrek("run", "--name", "c", "--net", "host", "--cwd", "/", "--", "/usr/bin/env", "python3", "-c", program).returncode
    await asyncio.sleep(1.5)
    found["checkpoint"] = chrek("checkpoint", "c", "--as", "cpu").returncode
    found["stop"] = chrek("stop", "c", "--time", "1").returncode
    found["restore"] = chrek("restore", "cpu", "--name", "d").returncode
    await asyncio.sleep(1)
    found["log"] = chrek("logs", "d").stdout[-100:]
    chrek("stop", "d", "--time", "1")
    for log in (ROOT / "logs").glob("*"):
        say(log.name, log.read_text(errors="replace")[-3000:])
    return found


def cuda_pids(name):
    target = Containers(ROOT).target(name)
    return target, process.in_pid_namespace(target.init)


async def by_hand(helper):
    """A container with the GPU, dumped and restored by the engine; CUDA's part by hand."""
    found = {}
    t = Timed()
    with t("run"):
        found["run"] = chrek("run", "--name", "g", "--net", "host", "--gpus", "all", "--cwd", "/", "--env", "PATH", "--env", f"LD_LIBRARY_PATH={os.environ.get('LD_LIBRARY_PATH','')}",
                             "--volume", f"{HERE}:{HERE}:ro", "--", PYTHON, TENSOR, "9120", "4").returncode
        try:
            wait(9120, 60)
        except TimeoutError:
            found["log"] = chrek("logs", "g").stdout[-3000:]
            return found
    before = get(9120)
    _, everything = cuda_pids("g")
    tids = {p.host_pid: await helper.restore_thread(p.host_pid) for p in everything}
    found["processes"] = [(p.host_pid, p.pid, p.name, tids[p.host_pid]) for p in everything]
    pid = next(p for p, tid in tids.items() if tid)
    found["see"] = nvidia(pid)
    with t("lock"):
        await helper.lock(pid, 10000)
    with t("checkpoint"):
        await helper.checkpoint(pid)
    with t("dump"):
        done = chrek("checkpoint", "g", "--as", "gpu", "--json")
    found["dump"] = (done.stdout + done.stderr)[-3000:]
    with t("restore source"):
        await helper.restore(pid, {})
        await helper.unlock(pid)
    found["source same"] = get(9120) == before
    chrek("stop", "g", "--time", "2")
    with t("criu restore"):
        done = chrek("restore", "gpu", "--name", "h", "--json")
    found["criu restore"] = (done.stdout + done.stderr)[-2000:]
    if done.returncode == 0:
        _, everything = cuda_pids("h")
        tids = {p.host_pid: await result_of(helper.restore_thread(p.host_pid)) for p in everything}
        found["restored processes"] = [(p.host_pid, p.pid, p.name, tids[p.host_pid]) for p in everything]
        pid = next((p for p, tid in tids.items() if tid.isdigit()), None)
        found["state"] = await result_of(helper.state(pid))
        with t("cuda restore"):
            found["cuda restore"] = await result_of(helper.restore(pid, {}))
        with t("unlock"):
            found["unlock"] = await result_of(helper.unlock(pid))
        found["same"] = get(9120) == before
        found["threads"] = threads(pid)
        chrek("stop", "h", "--time", "2")
    for log in (ROOT / "logs").glob("g*"):
        say(log.name, log.read_text(errors="replace")[-4000:])
    found["times"] = t
    return found


async def engine(_):
    """The whole thing by the command alone, twice; a health endpoint knocked at all the while."""
    found = {}
    t = Timed()
    with t("run"):
        chrek("run", "--name", "e", "--net", "host", "--gpus", "all", "--cwd", "/", "--env", "PATH", "--env", f"LD_LIBRARY_PATH={os.environ.get('LD_LIBRARY_PATH','')}",
              "--volume", f"{HERE}:{HERE}:ro", "--", PYTHON, TENSOR, "9130", "8", "pinned")
        wait(9130, 60)
    before = get(9130)
    name = "e"
    for round_number in range(2):
        done = chrek("-v", "checkpoint", name, "--as", f"engine{round_number}", "--json")
        found[f"checkpoint{round_number}"] = (done.returncode, done.stdout[-3000:], done.stderr[-2500:])
        found[f"source same{round_number}"] = await result_of(asyncio.to_thread(lambda: get(9130, "/", 20) == before))
        chrek("stop", name, "--time", "2")
        if done.returncode:
            break
        knocks, over = [], asyncio.Event()

        async def knock():
            while not over.is_set():
                began = time.time()
                try:
                    await asyncio.to_thread(get, 9130, "/health", 20)
                    knocks.append(round(time.time(), 3))
                except OSError:
                    await asyncio.sleep(0.005)

        knocking = asyncio.create_task(knock())
        name = f"e{round_number}"
        began = time.time()
        done = await asyncio.to_thread(chrek, "-v", "restore", f"engine{round_number}", "--name", name, "--json")
        ended = time.time()
        over.set()
        await knocking
        found[f"restore{round_number}"] = (done.returncode, done.stdout[-3000:], done.stderr[-2500:])
        found[f"seconds{round_number}"] = round(ended - began, 2)
        found[f"first answer before the command's end{round_number}"] = round(ended - knocks[0], 3) if knocks else None
        found[f"same{round_number}"] = await result_of(asyncio.to_thread(lambda: get(9130, "/", 20) == before))
    chrek("stop", name, "--time", "2")
    found["times"] = t
    for log in (ROOT / "logs").glob("e*"):
        say(log.name, log.read_text(errors="replace")[-4000:])
    return found


STEPS = [environment, cpu, inventory, plain, holding, by_hand, engine, words, managed, full, killed]


async def main():
    chosen = sys.argv[1:] or [step.__name__ for step in STEPS]
    for step in STEPS:
        if step.__name__ not in chosen:
            continue
        if time.time() - T0 > 470:
            say("no time is left for", step.__name__)
            continue
        say(f"===== {step.__name__}")
        helper = Helper()
        try:
            async with asyncio.timeout(120):
                results[step.__name__] = await step(helper)
        except BaseException as error:
            results[step.__name__] = {"FAILED": "".join(traceback.format_exception(error))[-2500:]}
        await helper.close()
        if step is not environment:
            say(json.dumps(results[step.__name__], indent=1, default=str)[:6000])
        (OUT / "trial.json").write_text(json.dumps(results, indent=1, default=str))
    for path in Path("/tmp").glob("app-*.log"):
        text = path.read_text()[-300:]
        if "rror" in text:
            say(path.name, text)


asyncio.run(main())
