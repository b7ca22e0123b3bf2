"""The command line: what it prints, and how it meets mistakes."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from small import chain, several

from stagedml import Store, instantiate, match_some, mklens, realize, realizeMany, redefine
from stagedml.cli import main

SMALL = str(Path(__file__).parent / "small.py")
CHAIN = f"{SMALL}:chain"


def run(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str, str]:
    """(status, stdout, stderr) of one command."""
    capsys.readouterr()
    status = main(argv)
    out, err = capsys.readouterr()
    return status, out, err


def test_realize_says_built_then_reused(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    """One line a stage; the reference on stdout; the second time nothing is built."""
    status, out, err = run(capsys, "realize", CHAIN, "times=4")
    assert status == 0
    assert out.splitlines() == [realize(instantiate(chain, times=4))]
    assert "2 built, 0 reused" in err
    _, _, err = run(capsys, "realize", CHAIN, "times=4")
    assert err.splitlines() == ["reused   words", "reused   count", "0 built, 2 reused"]


def test_a_change_is_explained_before_and_while_it_is_built(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    """`why`, `--dry-run` and `realize` name the config path with its old and new value."""
    run(capsys, "realize", CHAIN)
    for argv in (["why", CHAIN, "times=4"], ["realize", "--dry-run", CHAIN, "times=4"]):
        status, out, _ = run(capsys, *argv)
        assert status == 0
        assert "reuse   words" in out
        assert "build   count  times: 3 -> 4" in out
        assert "1 to build" in out
    assert len(list(Store(store.path).drefs())) == 2
    _, _, err = run(capsys, "realize", CHAIN, "times=4")
    assert "building count  times: 3 -> 4" in err


def test_why_follows_a_change_through_dependencies(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    """The number that somebody changed is named, not the digests that changed because of it."""
    run(capsys, "realize", CHAIN)
    _, out, _ = run(capsys, "why", CHAIN, "--set", "words.text=x y")
    assert "build   words  text: 'a b c' -> 'x y'" in out
    assert "build   count  src.text: 'a b c' -> 'x y'" in out
    assert "dref:" not in out


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["realize", f"{SMALL}:chian"], "did you mean chain?"),
        (["realize", "no_such_stage_at_all"], "no stage 'no_such_stage_at_all'"),
        (["realize", "nowhere.module:x"], "no module 'nowhere.module'"),
        (["realize", "/no/file.py:x"], "no such file"),
        (["realize", CHAIN, "tmies=3"], "did you mean times?"),
        (["realize", CHAIN, "times"], "write name=value"),
        (["realize", CHAIN, 'times="3"'], "the field 'times' wants int"),
        (["realize", CHAIN, "--set", "wrods.text=x"], "did you mean words?"),
        (["realize", CHAIN, "--set", "words.txet=x"], "did you mean text?"),
        (["realize", CHAIN, "--set", "words"], "write stage-name.field=value"),
        (["realize", f"{SMALL}:bad_data"], "labels are 0 and 1"),
        (["show", "nothing"], "`stagedml ls` lists"),
        (["path", "rref:xyz"], "no realization"),
        (["root", "--remove", "nothing"], "no root 'nothing'"),
        (["--store", "/proc/nowhere/store", "ls"], "the store cannot be"),
    ],
)
def test_a_mistake_is_one_clear_message(
    store: Store, capsys: pytest.CaptureFixture[str], argv: list[str], message: str
) -> None:
    """Exit status 2, one message that says what to do, no traceback, and a whole store."""
    status, _, err = run(capsys, *argv)
    assert status == 2
    assert message in err
    assert "Traceback" not in err
    assert os.listdir(store.dir("tmp")) == []


def test_show_path_log_and_ls_tell_what_produced_a_result(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    """By reference, by a part of the digest, or by name."""
    rref = realize(instantiate(chain))
    for text in (rref, rref[5:17], "count"):
        status, out, _ = run(capsys, "show", text)
        about = json.loads(out)
        assert status == 0
        assert about["realization"] == rref
        assert about["config"]["times"] == 3
        assert about["provenance"]["who"]
        assert about["environment"]["python"]
        assert "numpy" in about["environment"]["distributions"]
        assert about["code"]["small:count"]
    assert run(capsys, "path", "count")[1].strip() == store.path_of(rref)
    assert run(capsys, "log", "words")[1] == "splitting 'a b c'\n"
    assert rref in run(capsys, "ls", "cou")[1]
    assert run(capsys, "ls", "other")[1] == ""


def test_diff_prints_only_what_differs(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    """Config paths over the whole closure, metrics, seeds; status 1 when something differs."""
    one, other = realize(instantiate(chain)), realize(instantiate(chain, text="x", times=5))
    status, out, _ = run(capsys, "diff", one, other)
    assert status == 1
    assert out.splitlines() == ["config", "  src.text: 'a b c' -> 'x'", "  times: 3 -> 5"]
    assert run(capsys, "diff", one, one)[:2] == (0, "")
    from small import measured

    a, b = realizeMany(instantiate(redefine(measured, new_matcher=match_some(2))))
    _, out, _ = run(capsys, "diff", a, b)
    assert "evaluate.accuracy: 0.5 -> 0.6" in out
    assert "instance 0 -> 1" in out


def test_verify_finds_damage_and_the_next_realize_heals_it(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    """Status 1 with the name of the file; afterwards all is whole again."""
    rref = realize(instantiate(chain))
    assert run(capsys, "verify")[:2] == (0, "2 realizations read, 0 damaged\n")
    path = mklens(rref).src.out.syspath
    os.chmod(path, 0o644)
    Path(path).write_text('["x", "y", "z"]')
    os.utime(path, (1, 1))
    status, out, _ = run(capsys, "verify", rref)
    assert status == 1
    assert "words.json has another content" in out
    assert realize(instantiate(chain)) == rref
    assert run(capsys, "verify")[0] == 0


def test_a_graph_is_drawn_without_system_packages(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """SVG and PNG, by the file's name."""
    assert run(capsys, "graph", CHAIN, "-o", str(tmp_path / "g.svg"))[0] == 0
    assert "<svg" in (tmp_path / "g.svg").read_text()
    assert run(capsys, "graph", CHAIN, "-o", str(tmp_path / "g.png"))[0] == 0
    assert (tmp_path / "g.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_smoke_builds_toys_elsewhere(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    """The real store gets nothing; the toy results are whole stages."""
    status, out, _ = run(capsys, "smoke", CHAIN)
    assert status == 0
    assert list(store.drefs()) == []
    rref = out.strip()
    toy = Store(f"{store.path}/smoke")
    assert Path(toy.path_of(rref), "deep/count.json").read_text() == "1"


def test_smoke_takes_what_has_no_toy_settings_from_the_real_store(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    """A download that is there is not downloaded again; what depends on toys is marked and built."""
    real = realize(instantiate(several))
    status, out, err = run(capsys, "smoke", f"{SMALL}:several")
    assert (status, out.strip()) == (0, real)
    assert "0 built, 0 reused, 1 taken" in err
    toy = Store(f"{store.path}/smoke")
    assert toy.problems(toy.record(real), deep=True) == []
    run(capsys, "verify")
    assert realize(instantiate(several)) == real
