"""Adopting a storage that Pylightnix 0.3.0 made: `tests/golden/pylightnix-0.3.0`."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from legacy import EXPECTED, run_program

import stagedml.pylightnix as P
from stagedml import Store, cli
from stagedml.errors import MissingError
from stagedml.pylightnix.adopt import Adopted, adopt

GOLDEN = Path(__file__).parents[1] / "golden" / "pylightnix-0.3.0"
NAMES = ["counted", "counted", "sample", "sample", "total", "words"]


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A copy of the golden storage, to be spoiled."""
    return Path(shutil.copytree(GOLDEN, tmp_path / "_pylightnix" / "store-v0"))


def adopted_names(result: Adopted) -> list[str]:
    return sorted(rref.name for rref in result.rrefs.values())


def test_everything_sound_is_adopted(store: Store, old: Path) -> None:
    """Realizations arrive with contents, contexts, times and what does not count; again changes nothing."""
    result = adopt(old.parent, store)
    assert result.refused == {}
    assert adopted_names(result) == NAMES
    for theirs, ours in result.rrefs.items():
        record = store.record(ours)
        assert store.problems(record, deep=True) == []
        folder = old / theirs[38:] / theirs[5:37]
        context = json.loads((folder / "context.json").read_text())
        assert sorted(result.rrefs[r] for rs in context.values() for r in rs) == sorted(
            r for rs in record.context.values() for r in rs
        )
        for file in ("out.txt", "deep/value.txt", "_log.txt", "__buildstart__.txt"):
            assert (folder / file).exists() == (file in {**record.files, **record.volatile})
            if (folder / file).exists():
                assert Path(record.out, file).read_bytes() == (folder / file).read_bytes()
        assert ("_log.txt" in record.volatile) == ("sample" in theirs)
        about = store.provenance(ours)
        assert about["adopted"] == {"from": str(old), "rref": theirs}
        assert about["started"].startswith("20")
    assert adopt(old, store) == result


def test_a_program_finds_what_was_adopted(tmp_path: Path) -> None:
    """The program that made the golden storage builds nothing of it anew."""
    root = tmp_path / "root"
    root.mkdir()
    adopt(GOLDEN, Store(P.fsstorage(P.mkSS(str(root)))))
    noted = run_program("stagedml", "basics", root)
    built = [fact for fact in noted if fact[0] == "build"]
    assert built == [["build", "words"], ["build", "counted", 1]]  # those of another text
    assert [fact for fact in EXPECTED["basics"] if fact[0] == "build"][:2] == built


def folder(old: Path, name: str) -> Path:
    """A realization's folder in the old storage."""
    return next(p.parent for p in sorted(old.glob(f"*-{name}/*/context.json")))


def spoil(path: Path, change: Callable[[str], str]) -> None:
    path.parent.chmod(0o755)
    path.write_text(change(path.read_text()))


def drop_context(old: Path) -> None:
    spoil(folder(old, "counted") / "context.json", lambda _: "{}")


def exchange(old: Path) -> None:
    """Names another realization in a context, and gives the folder the digest that fits."""
    here = folder(old, "total")
    context = json.loads((here / "context.json").read_text())
    ((dref, rrefs),) = context.items()
    (here / "context.json").write_text(
        json.dumps({dref: [rrefs[0][:5] + "0" * 32 + rrefs[0][37:]]}, indent=4)
    )
    digest = P.dirhash(str(here))
    here.rename(here.parent / digest[:32])


REFUSALS: dict[str, tuple[Callable[[Path], object], list[str], str]] = {
    "content": (
        lambda old: spoil(folder(old, "words") / "out.txt", lambda text: text + "!"),
        ["counted", "counted", "words"],
        "content is not what its name says",
    ),
    "context": (drop_context, ["counted"], "content is not what its name says"),
    "context of another": (exchange, ["total"], "is not there or was refused"),
    "config": (
        lambda old: spoil(next(old.glob("*-sample/config.json")), lambda text: text + " "),
        ["sample", "total", "total"],
        "config.json is not the one",
    ),
    "no config": (
        lambda old: next(old.glob("*-words/config.json")).unlink(),
        ["counted", "counted", "counted", "counted"],
        "its dependency",
    ),
    "link outside": (
        lambda old: (folder(old, "words") / "_link").symlink_to("/etc/passwd"),
        ["counted", "counted", "words"],
        "points outside its folder",
    ),
}


@pytest.mark.parametrize(("damage", "refused", "reason"), REFUSALS.values(), ids=REFUSALS)
def test_what_is_not_sound_is_refused(
    store: Store, old: Path, damage: Callable[[Path], object], refused: list[str], reason: str
) -> None:
    """A changed content, config or context is refused with the reason, and so is what was built from it."""
    damage(old)
    result = adopt(old, store)
    assert sorted(ref.rsplit("-", 1)[-1] for ref in result.refused) == refused
    assert any(reason in text for text in result.refused.values())
    assert not set(result.rrefs) & set(result.refused)
    assert os.listdir(store.dir("tmp")) == []
    for rref in result.rrefs.values():
        assert store.problems(store.record(rref), deep=True) == []


def test_what_is_no_storage_is_an_error(store: Store, tmp_path: Path) -> None:
    """A folder without a storage in it is an error that says where storages are."""
    for path in (tmp_path, tmp_path / "missing"):
        with pytest.raises(MissingError, match="no Pylightnix storage"):
            adopt(path, store)


def test_command(store: Store, old: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`stagedml adopt` lists what it took in and why it refused the rest, which is its exit status."""
    assert cli.main(["--store", store.path, "adopt", str(old)]) == 0
    assert len(capsys.readouterr().out.splitlines()) == len(NAMES)
    spoil(folder(old, "words") / "out.txt", str.upper)
    assert cli.main(["--store", store.path, "adopt", str(old)]) == 1
    assert "refused  rref:" in capsys.readouterr().out
