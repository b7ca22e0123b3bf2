"""Several processes, kills and leases: each thing is built once, and a dead builder is taken over."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from small import chain, dies_halfway, fails, measured, words

import stagedml.leases as leases
from stagedml import Manager, Store, instantiate, match_some, mkdrv, mklens, realize, realizeMany, redefine
from stagedml.disk import remove_tree
from stagedml.errors import BuildError, BuildFailures
from stagedml.execute import Task, execute, prepare, publish, run_realizer, task_key
from stagedml.executors import Processes
from stagedml.owner import is_dead, owner_id
from stagedml.running import announce, in_use

HERE = str(Path(__file__).parent)


def python(
    code: str, *args: str, env: dict[str, str] | None = None, stdin: int | None = None
) -> subprocess.Popen[str]:
    """A Python process that knows the small stages."""
    prelude = f"import sys; sys.path.insert(0, {HERE!r}); from stagedml import *; from small import *\n"
    return subprocess.Popen(
        [sys.executable, "-c", prelude + code, *args],
        stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, **(env or {})},
    )  # fmt: skip


def finish(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Waits for a process; (status, stdout, stderr)."""
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


RACE = """
import os
from pathlib import Path
@stage()
def differs(b: Build, out: Path = promise('x')) -> None:
    with open(sys.argv[2], 'a') as f:
        f.write('built\\n')
    out.write_text(os.urandom(4).hex())
initialize(sys.argv[1])
print(realize(instantiate(differs)))
"""


def test_law_6_many_processes_build_once_and_agree(store: Store, tmp_path: Path) -> None:
    """Six processes want one thing that differs at every build: one builds, the others wait and reuse."""
    notes = tmp_path / "notes"
    done = [finish(p) for p in [python(RACE, store.path, str(notes)) for _ in range(6)]]
    assert [status for status, _, _ in done] == [0] * 6, done
    assert len({out for _, out, _ in done}) == 1
    assert notes.read_text() == "built\n"
    assert os.listdir(store.dir("locks")) == []


def test_a_process_that_waits_says_for_whom_and_then_reuses(store: Store) -> None:
    """While this process holds a stage, another one waits for it by name; then it takes what is there."""
    (d,) = instantiate(words).derivations
    with leases.hold(store, task_key(d.dref, {}, 0)):
        other = python("initialize(sys.argv[1]); realize(instantiate(words))", store.path)
        assert other.stderr is not None
        lines = [other.stderr.readline() for _ in range(2)]
        assert lines[1].startswith("waiting  words"), lines
        assert f"process {os.getpid()} is building it" in lines[1]
        build = prepare(Task(store, d, {}, 0))
        run_realizer(build, d)
        publish(build, d, started=0.0, seconds=0.0, fence=lambda: None)
    status, _, err = finish(other)
    assert status == 0, err
    assert "another process built it" in err


def test_law_11_a_killed_build_goes_on_from_its_scratch(store: Store) -> None:
    """Kill -9 at step 3; the next run continues there, says so in the provenance, and ends the same."""
    stage = dies_halfway
    status, _, _ = finish(
        python("initialize(sys.argv[1]); realize(instantiate(dies_halfway, die_at=3))", store.path)
    )
    assert status == -signal.SIGKILL
    assert len(os.listdir(store.dir("scratch"))) == 1
    assert store.records(instantiate(stage).dref) == []
    rref = realize(instantiate(stage))
    assert Path(mklens(rref).out.syspath).read_text() == "10"
    assert store.provenance(rref)["resumes"] == ["step 3"]
    assert [os.listdir(store.dir(d)) for d in ("scratch", "tmp", "locks")] == [[], [], []]


def test_the_build_time_counts_what_a_killed_process_did(store: Store) -> None:
    """Killed after a hundred seconds (so its note says here), resumed: the time of both is the build time."""
    finish(python("initialize(sys.argv[1]); realize(instantiate(dies_halfway, die_at=3))", store.path))
    (note,) = Path(store.dir("scratch")).glob("*/.stretches")
    before, started = note.read_text().split()
    assert float(before) == 0
    note.write_text(f"{before} {float(started) - 100}")
    seconds = store.provenance(realize(instantiate(dies_halfway)))["seconds"]
    assert 100 <= seconds < 200


def test_a_dead_builder_of_this_machine_is_taken_over_at_once(store: Store) -> None:
    """Its lock is there, its process is not: nobody has to clear anything."""
    code = """
import os, signal
from stagedml.leases import hold
with hold(Store(sys.argv[1]), 'key'):
    os.kill(os.getpid(), signal.SIGKILL)
"""
    assert finish(python(code, store.path))[0] == -signal.SIGKILL
    assert os.listdir(store.dir("locks")) == ["key.1"]
    with leases.hold(store, "key") as lease:
        assert lease.path.endswith("key.2")
    assert os.listdir(store.dir("locks")) == []


@pytest.fixture
def short_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leases of a fifth of a second."""
    monkeypatch.setattr(leases, "LEASE_S", 0.2)


def test_a_builder_elsewhere_is_taken_over_when_its_beat_stops(store: Store, short_lease: None) -> None:
    """Of a process on another machine only the heartbeat is known; its wall clock does not matter."""
    path = Path(store.dir("locks"), "key.1")
    path.mkdir()
    token = "0" * 12 + "-123-456-abc"
    (path / "owner.json").write_text(json.dumps({"token": token, "who": "far away"}))
    assert is_dead(token) is None
    waited: list[str] = []
    with leases.hold(store, "key", waited.append) as lease:
        assert lease.path.endswith("key.2")
    assert waited == ["far away"]


def test_a_builder_elsewhere_that_beats_is_left_alone(store: Store, short_lease: None) -> None:
    """As long as the beat changes, waiters wait; when the lock is released they go on."""
    path = Path(store.dir("locks"), "key.1")
    path.mkdir()
    (path / "owner.json").write_text(json.dumps({"token": "0" * 12 + "-123-456-abc", "who": "far away"}))
    stop, beats = threading.Event(), []

    def beat() -> None:
        for i in range(15):
            (path / "beat").write_text(str(i))
            beats.append(i)
            stop.wait(0.05)
        remove_tree(str(path))

    other = threading.Thread(target=beat)
    other.start()
    with leases.hold(store, "key") as lease:
        assert len(beats) == 15
        assert lease.path.endswith("key.1")
    other.join()


def test_several_may_remove_the_same_folder(tmp_path: Path) -> None:
    """What a dead process left is removed by whoever comes first; those who come at once do not fail."""
    for i in range(200):
        (tmp_path / "left" / str(i)).mkdir(parents=True)
        (tmp_path / "left" / str(i) / "file").write_text("x")
    code = (
        "from stagedml.disk import remove_tree\nprint('ready', flush=True); input(); remove_tree(sys.argv[1])"
    )
    processes = [python(code, str(tmp_path / "left"), stdin=subprocess.PIPE) for _ in range(4)]
    for p in processes:
        assert p.stdout is not None
        assert p.stdout.readline() == "ready\n"
    for p in processes:
        assert p.stdin is not None
        p.stdin.write("\n")
        p.stdin.flush()
    assert [(status, err) for status, _, err in map(finish, processes)] == [(0, "")] * 4
    assert not (tmp_path / "left").exists()


def test_a_lock_that_was_taken_again_in_between_is_left_alone(store: Store) -> None:
    """A dead owner was seen, but a living one took the lock before the takeover: that is undone."""
    with leases.hold(store, "key") as lease:
        assert leases._try(f"{store.path}/locks/key", 2, "the token that was seen dead") is None
        lease.check()
        assert os.listdir(store.dir("locks")) == ["key.1"]


def test_an_overtaken_builder_does_not_publish(store: Store) -> None:
    """It notices at the fence that another generation exists, and uses what that one publishes."""
    with leases.hold(store, "key") as lease:
        os.mkdir(f"{store.path}/locks/key.2")
        with pytest.raises(leases.LostLease):
            lease.check()
        os.rmdir(f"{store.path}/locks/key.2")


def test_this_process_is_alive_and_a_finished_one_is_dead() -> None:
    """Owners are told apart by their start time, so that a reused process id is not mistaken."""
    assert is_dead(owner_id()) is False
    where, pid, _ = owner_id().split("-")
    assert is_dead(f"{where}-{pid}-1") is True
    assert is_dead("garbage") is None


def test_failures_are_reported_together_when_the_rest_may_finish(store: Store) -> None:
    """--keep-going: what does not depend on a failure is built; all failures come in one error."""

    def top(m: Manager) -> object:
        broken = [fails(m, src=words, name=f"broken{i}") for i in range(2)]
        fine = chain(m)
        return mkdrv(m, config={"name": "top", "deps": [*broken, fine]}, realizer=lambda b: None)

    for executor in (None, Processes(2)):
        with pytest.raises(BuildFailures) as e:
            realize(instantiate(top), executor=executor, keep_going=True)
        assert sorted(f.where for f in e.value.failures) == ["broken0", "broken1"]
        assert all("about to fail" in f.log_tail for f in e.value.failures)
        assert len(store.records(instantiate(chain).dref)) == 1


def test_a_worker_that_is_killed_is_reported_and_its_scratch_is_used_next_time(store: Store) -> None:
    """A stage process that dies by a signal fails its stage with a clear message; the next run goes on."""
    with pytest.raises(BuildError, match=r"dies-halfway: its process was killed by signal 9\n.*goes on"):
        realize(instantiate(dies_halfway, die_at=2), executor=Processes(2))
    rref = realize(instantiate(dies_halfway), executor=Processes(2))
    assert store.provenance(rref)["resumes"] == ["step 2"]


def test_instances_are_built_side_by_side(store: Store) -> None:
    """The runs of a sample are independent tasks, and agree with those of a serial run."""
    ask = instantiate(redefine(measured, new_matcher=match_some(4)))
    rrefs = realizeMany(ask, executor=Processes(4))
    assert [store.record(r).instance for r in rrefs] == [0, 1, 2, 3]


def test_ctrl_c_stops_cleanly_and_the_next_run_goes_on(store: Store) -> None:
    """Status 130, no lock, nothing half published; scratch is kept."""
    code = """
import os, signal
from pathlib import Path
signal.signal(signal.SIGINT, signal.default_int_handler)  # where tests run in the background it is ignored
@stage()
def interrupted(b: Build, out: Path = promise('x')) -> None:
    (b.scratch / 'kept').write_text('kept')
    os.kill(os.getppid() if sys.argv[2] == '2' else os.getpid(), signal.SIGINT)
    import time
    time.sleep(60)
from stagedml.executors import Processes
initialize(sys.argv[1])
realize(instantiate(interrupted), executor=Processes(2) if sys.argv[2] == '2' else None)
"""
    for jobs in ("1", "2"):
        status, _, err = finish(python(code, store.path, jobs))
        assert status != 0
        assert "KeyboardInterrupt" in err
        assert os.listdir(store.dir("locks")) == []
        assert os.listdir(store.dir("tmp")) == []
        assert len(os.listdir(store.dir("scratch"))) == 1


def test_what_a_living_process_uses_is_known_and_the_dead_do_not_count(store: Store) -> None:
    """The collector sees this process's derivations, and forgets those of a killed one."""
    announce(store, ["dref:mine"])
    code = """
import os, signal
from stagedml.running import announce
announce(Store(sys.argv[1]), ['dref:theirs'])
os.kill(os.getpid(), signal.SIGKILL)
"""
    assert finish(python(code, store.path))[0] == -signal.SIGKILL
    assert len(os.listdir(store.dir("running"))) == 2
    assert in_use(store) == {"dref:mine"}
    assert len(os.listdir(store.dir("running"))) == 1


def test_a_task_that_somebody_else_finished_is_not_done_again(store: Store) -> None:
    """After taking the lock an executor looks once more."""
    rref = realize(instantiate(words))
    (d,) = instantiate(words).derivations
    outcome = execute(Task(store, d, {}, 0))
    assert (outcome.rref, outcome.built) == (rref, False)
