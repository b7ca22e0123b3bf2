"""Taking from upstream stores instead of building: what is taken, what is said, what a bad remote does."""

from __future__ import annotations

import os
import sys
from functools import partial
from pathlib import Path

import pytest
from remotes import files_of, picture, published
from small import chain, count, fails, measured, several, words

from stagedml import (
    Build,
    DRef,
    Manager,
    RRef,
    Store,
    instantiate,
    match_best,
    match_exact,
    match_latest,
    mklens,
    promise,
    realize,
    realizeMany,
    redefine,
    stage,
)
from stagedml.cli import main
from stagedml.errors import CorruptError, RemoteError
from stagedml.executors import Processes
from stagedml.remote import Remote, push
from stagedml.share import LocalUpstream
from stagedml.stage import Closure
from stagedml.store import using
from stagedml.testing import StageCheckError, check_stage

SMALL = str(Path(__file__).parent / "small.py")
CHAIN = f"{SMALL}:chain"


@pytest.fixture
def remote(tmp_path: Path) -> Path:
    """Where the remote store is; the fixtures below fill it from a machine that is not the test's."""
    return tmp_path / "a remote"


@pytest.fixture
def elsewhere(tmp_path: Path) -> Store:
    """The store of the machine that pushes."""
    return Store(tmp_path / "elsewhere")


@stage()
def undecided(b: Build, out: Path = promise("x")) -> None:
    """Is another one each time."""
    out.write_bytes(os.urandom(8))


def pushed(elsewhere: Store, remote: Path, made_by: object) -> RRef:
    """Builds a stage on the other machine and pushes it."""
    with using(elsewhere):
        rrefs = realizeMany(instantiate(made_by), remote="")  # type: ignore[arg-type]
    list(push(Remote(str(remote)), elsewhere, rrefs))
    return rrefs[0]


def run(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str, str]:
    """(status, stdout, stderr) of one command."""
    capsys.readouterr()
    status = main(argv)
    out, err = capsys.readouterr()
    return status, out, err


def test_what_is_there_is_taken(
    store: Store, elsewhere: Store, remote: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A line for each, the count in the summary, the same reference; the second time nothing."""
    rref = pushed(elsewhere, remote, chain)
    status, out, err = run(capsys, "realize", CHAIN, "--remote", str(remote))
    assert (status, out.strip()) == (0, rref)
    assert err.splitlines() == [
        f"taken    words  from {remote}",
        f"taken    count  from {remote}",
        "0 built, 0 reused, 2 taken",
    ]
    assert picture(store, rref) == picture(elsewhere, rref)
    _, _, err = run(capsys, "realize", CHAIN, "--remote", str(remote))
    assert "0 built, 2 reused" in err


def test_only_what_is_missing_is_taken(
    store: Store,
    elsewhere: Store,
    remote: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """`$STAGEDML_REMOTE` does the same as --remote; what is here stays, what is nowhere is built."""
    pushed(elsewhere, remote, words)
    monkeypatch.setenv("STAGEDML_REMOTE", str(remote))
    status, _, err = run(capsys, "realize", CHAIN)
    assert status == 0
    assert "1 built, 0 reused, 1 taken" in err
    _, _, err = run(capsys, "realize", CHAIN, "times=5", "--remote", "")
    assert "1 built, 1 reused" in err


def test_processes_side_by_side(store: Store, elsewhere: Store, remote: Path) -> None:
    """With an executor of processes, what is there is taken all the same and the rest is built."""
    rref = pushed(elsewhere, remote, chain)
    executor = Processes(2)
    assert realize(instantiate(chain), remote=str(remote), executor=executor) == rref
    realize(instantiate(chain, times=7), remote=str(remote), executor=executor)
    assert len(published(store)) == 3


def test_a_check_of_a_stage_builds_it(
    store: Store, elsewhere: Store, remote: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`check_stage` builds twice and compares: a remote store must not answer for the second build."""
    pushed(elsewhere, remote, undecided)
    monkeypatch.setenv("STAGEDML_REMOTE", str(remote))
    with pytest.raises(StageCheckError, match="built twice"):
        check_stage(undecided)


def test_why_says_what_would_be_taken(
    store: Store, elsewhere: Store, remote: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`why` and `--dry-run` look at the remote and take nothing."""
    pushed(elsewhere, remote, chain)
    for argv in (["why", CHAIN], ["realize", "--dry-run", CHAIN]):
        status, out, _ = run(capsys, *argv, "--remote", str(remote))
        assert status == 0
        assert out.splitlines() == [
            f"take    words  from {remote}",
            f"take    count  from {remote}",
            "0 to build, 0 reused, 2 to take",
        ]
    _, out, _ = run(capsys, "why", CHAIN, "times=9", "--remote", str(remote))
    assert "build   count  first time" in out
    assert published(store) == set()


def test_the_same_is_chosen_as_on_the_other_side(store: Store, elsewhere: Store, remote: Path) -> None:
    """Of several instances that are offered, the matcher's choice is taken and no other."""
    with using(elsewhere):
        realize(instantiate(several))
        everything = realizeMany(instantiate(redefine(several, new_matcher=match_latest(3))))
        latest = realize(instantiate(several))
    list(push(Remote(str(remote)), elsewhere, everything))
    assert realize(instantiate(several), remote=str(remote)) == latest
    assert published(store) == {latest}
    assert (
        realizeMany(instantiate(redefine(several, new_matcher=match_latest(3))), remote=str(remote))
        == everything
    )
    with using(Store(f"{store.path} 2")) as third:
        exact = redefine(several, new_matcher=match_exact([everything[1]]))
        assert realize(instantiate(exact), remote=str(remote)) == everything[1]
        assert published(third) == {everything[1]}


def test_a_choice_by_results_takes_all_that_is_offered(store: Store, elsewhere: Store, remote: Path) -> None:
    """`match_best` reads protocols: the candidates come, and the best is the other side's best."""
    best = redefine(partial(measured, n=3), new_matcher=match_best("accuracy"))
    with using(elsewhere):
        rref = realize(instantiate(best))
        every = [r.rref for r in elsewhere.records(rref.dref)]
    list(push(Remote(str(remote)), elsewhere, every))
    assert realize(instantiate(best), remote=str(remote)) == rref
    assert len(store.records(rref.dref)) == 3


def test_what_is_not_enough_is_completed(store: Store, elsewhere: Store, remote: Path) -> None:
    """Two instances are there and three wanted: two are taken, one is built."""
    pushed(elsewhere, remote, redefine(partial(measured, n=2), new_matcher=match_latest(2)))
    three = redefine(partial(measured, n=3), new_matcher=match_latest(3))
    rrefs = realizeMany(instantiate(three), remote=str(remote))
    built_by = {store.provenance(r)["instance"]: r for r in rrefs}
    assert sorted(built_by) == [0, 1, 2]
    assert {r.rref for r in elsewhere.records(rrefs[0].dref)} == {built_by[0], built_by[1]}


def test_a_rebuild_takes_nothing(store: Store, elsewhere: Store, remote: Path) -> None:
    """Who asks for a build gets one."""
    rref = pushed(elsewhere, remote, measured)
    fresh = realize(instantiate(measured), remote=str(remote), rebuild=["noisy"])
    assert mklens(fresh).protocol.val == mklens(rref).protocol.val
    assert picture(store, fresh)["/context.json"] != picture(elsewhere, rref)["/context.json"]


def test_damage_heals(
    store: Store, elsewhere: Store, remote: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What a realize or `verify` finds damaged comes back from the remote, bit for bit."""
    rref = pushed(elsewhere, remote, chain)
    run(capsys, "realize", CHAIN, "--remote", str(remote))
    file = Path(mklens(rref).out.syspath)
    for argv, said in (
        (["realize", CHAIN, "--remote", str(remote)], "taken    count"),
        (["verify", "--remote", str(remote)], "2 realizations read, 1 damaged, 1 restored"),
    ):
        file.chmod(0o644)
        file.write_text("tampered")
        status, out, err = run(capsys, *argv)
        assert status == 0
        assert said in out + err
        assert picture(store, rref) == picture(elsewhere, rref)
    file.chmod(0o644)
    file.write_text("tampered")
    assert run(capsys, "verify")[0] == 1


def test_an_unreachable_remote_is_one_warning(
    store: Store, remote: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is named once, and everything is built; also when its protocol is unknown."""
    for i, url in enumerate((str(remote), "nonsense://x", "ftp://127.0.0.1:1/x")):
        status, _, err = run(
            capsys, "realize", CHAIN, f"times={i + 5}", "--set", f"words.text=t{i}", "--remote", url
        )
        assert status == 0
        assert err.count("warning") == 1
        assert "2 built, 0 reused" in err


def test_without_fsspec_the_remedy_is_named(
    store: Store, remote: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The optional package is asked for when it is needed, with the command that installs it."""
    realize(instantiate(chain))
    monkeypatch.setitem(sys.modules, "fsspec.core", None)
    status, _, err = run(capsys, "push", "count", "--to", str(remote))
    assert status == 2
    assert "needs the package fsspec" in err
    assert "pip install 'stagedml[remote]'" in err


def test_what_nobody_can_build_needs_the_remote(
    store: Store, elsewhere: Store, remote: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a realizer the remote's trouble is the error, not a warning."""
    rref = pushed(elsewhere, remote, words)
    store.write_config(rref.dref, elsewhere.config(rref.dref))

    def orphan() -> Closure:
        closure = instantiate(words)
        for d in closure.derivations:
            d.realizer = None
        return closure

    with pytest.raises(RemoteError, match="no remote store there"):
        realize(orphan(), remote=f"{remote} not")
    blob = next(p for p in remote.rglob("blobs/*/*") if p.read_bytes() == b'["a", "b", "c"]')
    good = blob.read_bytes()
    blob.write_bytes(b'["a", "b", "d"]')
    with pytest.raises(CorruptError, match=r"'words.json' has another content"):
        realize(orphan(), remote=str(remote))
    blob.write_bytes(good)
    assert realize(orphan(), remote=str(remote)) == rref


def test_what_is_damaged_there_is_refused_and_built(
    store: Store, elsewhere: Store, remote: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line names the file; the stage is built here, the rest is taken."""
    pushed(elsewhere, remote, chain)
    for name, data in files_of(remote).items():
        if data == b"9":
            (remote / name).write_bytes(b"8")
    status, _, err = run(capsys, "realize", CHAIN, "--remote", str(remote))
    assert status == 0
    assert err.count("refused  count") == 1
    assert "'deep/count.json' has another content" in err
    assert "1 built, 0 reused, 1 taken" in err
    assert len(published(store)) == 2


def test_a_failure_is_still_a_failure(store: Store, elsewhere: Store, remote: Path) -> None:
    """Taking the dependency does not make a bad stage good."""
    pushed(elsewhere, remote, words)
    with pytest.raises(Exception, match="the realizer's own trouble"):
        realize(instantiate(fails, src=words), remote=str(remote))


def test_several_upstreams(store: Store, elsewhere: Store, tmp_path: Path, remote: Path) -> None:
    """The first that has something counts: a store on this machine before a remote one."""
    rref = pushed(elsewhere, remote, words)
    store.upstreams += [LocalUpstream(Store(tmp_path / "empty")), LocalUpstream(elsewhere)]

    def top(m: Manager) -> DRef:
        return count(m, src=words)

    realize(instantiate(top), remote=f"{remote} not")
    there, here = (Path(s.path_of(rref), "words.json").stat().st_ino for s in (elsewhere, store))
    assert there == here


def test_push_and_pull_on_the_command_line(
    store: Store, elsewhere: Store, remote: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Names, references and stages go; the words say what was sent, what was there, what came."""
    status, _, err = run(capsys, "push", CHAIN, "--to", str(remote))
    assert status == 2
    assert "is not realized: words, count" in err
    rref = realize(instantiate(chain))
    status, out, err = run(capsys, "push", CHAIN, "--to", str(remote))
    assert (status, [line.split()[0] for line in out.splitlines()]) == (0, ["sent", "sent"])
    assert "2 sent" in err
    _, out, err = run(capsys, "push", "count", rref[5:15], "--to", str(remote))
    assert (out.count("there"), err.strip()) == (2, "0 sent (0 B), 2 there already")
    status, out, err = run(capsys, "--store", elsewhere.path, "pull", "count", "--from", str(remote))
    assert (status, out.strip()) == (0, rref)
    assert [line.split()[:2] for line in err.splitlines()] == [["taken", "words"], ["taken", "count"]]
    assert picture(elsewhere, rref) == picture(store, rref)
    status, _, err = run(capsys, "pull", "count")
    assert (status, "which remote store?" in err) == (2, True)
    status, _, err = run(capsys, "push", "nobody", "--to", str(remote))
    assert (status, "no realization 'nobody'" in err) == (2, True)
    assert os.listdir(remote / "tmp") == []
