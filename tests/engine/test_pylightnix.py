"""Programs written for Pylightnix 0.3.0 on this engine: they note the same as on Pylightnix itself.

What they noted there is in `pylightnix_programs/expected.json`; the parity test holds it to the original.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from legacy import EXPECTED, PROGRAMS, run_program

import stagedml
import stagedml.pylightnix as P
from stagedml import Build, Manager, Store, instantiate, mklens, promise, realize, stage

MISSING = {"CURL", "WGET", "APACK", "AUNPACK"}  # programs that this implementation does not call
UNNAMED = {"C", "D", "tz", "tzlocal", "version", "fetch", "fetch2", "trivial", "find_executable"}


@pytest.mark.parametrize("program", EXPECTED)
def test_programs_note_what_they_note_on_pylightnix(program: str, tmp_path: Path) -> None:
    """Each program builds, reuses, reads and refuses what it does on Pylightnix 0.3.0."""
    assert run_program("stagedml", program, tmp_path / "root") == EXPECTED[program]


def test_every_public_name_is_there() -> None:
    """All that `from pylightnix import *` brings, but for the handles of external programs, is exported."""
    names = (PROGRAMS / "names.txt").read_text(encoding="utf-8").split()
    assert {n for n in names if not hasattr(P, n)} == MISSING | UNNAMED
    for part in ("types", "utils", "core", "build", "lens", "repl", "either", "bashlike", "garb", "arch"):
        importlib.import_module(f"stagedml.pylightnix.{part}")


@pytest.fixture
def settings(tmp_path: Path) -> P.StorageSettings:
    """A storage of the test's own."""
    S = P.mkSS(str(tmp_path / "root"))
    P.fsinit(S)
    return S


def one(text: str, r: P.Registry) -> P.DRef:
    def make(b: P.Build) -> None:
        P.writestr(P.mklens(b).out.syspath, P.mklens(b).text.val)

    config = {"name": "one", "text": text, "out": [P.selfref, "out.txt"]}
    return P.mkdrv(P.mkconfig(config), P.match_only(), P.build_wrapper(make), r)


def test_without_settings_the_usual_store_is_used(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Legacy stages and this project's own build on each other's results in one store."""
    for name in ("PYLIGHTNIX_ROOT", "PYLIGHTNIX_STORAGE", "PYLIGHTNIX_TMP"):
        monkeypatch.delenv(name, raising=False)
    old = P.realize1(P.instantiate(one, "legacy"))
    assert P.fsstorage() == store.path

    @stage()
    def newer(b: Build, source: object, out: Path = promise("new.txt")) -> None:
        out.write_text(Path(b.lens.source.out.syspath).read_text() + "+new")

    def target(m: Manager) -> stagedml.DRef:
        return newer(m, source=old.dref)

    new = realize(instantiate(target))
    assert Path(mklens(new).out.syspath).read_text() == "legacy+new"

    def newest(r: P.Registry) -> P.DRef:
        def make(b: P.Build) -> None:
            P.writestr(P.mklens(b).out.syspath, P.mklens(b).source.out.contents + "+newest")

        config = {"name": "newest", "source": new.dref, "out": [P.selfref, "x"]}
        return P.mkdrv(P.mkconfig(config), P.match_only(), P.build_wrapper(make), r)

    assert P.mklens(P.realize1(P.instantiate(newest))).out.contents == "legacy+new+newest"


def test_a_damaged_artifact_is_built_again(settings: P.StorageSettings) -> None:
    """What Pylightnix would serve as it is goes to quarantine."""
    rref = P.realize1(P.instantiate(one, "text", S=settings))
    path = P.mklens(rref, S=settings).out.syspath
    os.chmod(path, 0o644)
    P.writestr(path, "tampered")
    assert P.realize1(P.instantiate(one, "text", S=settings)) == rref
    assert P.mklens(rref, S=settings).out.contents == "text"
    store = P.store_of(settings)
    assert len([n for n in os.listdir(store.dir("quarantine")) if not n.endswith(".txt")]) == 1


def test_the_record_is_that_of_this_project(settings: P.StorageSettings) -> None:
    """Provenance, the log and the fingerprint of the realizer are kept; key order is not identity."""

    def talking(r: P.Registry) -> P.DRef:
        def make(b: P.Build) -> None:
            print("said")

        return P.mkdrv(
            P.mkconfig({"b": 1, "name": "talking", "a": 2}), P.match_only(), P.build_wrapper(make), r
        )

    rref = P.realize1(P.instantiate(talking, S=settings))
    store = P.store_of(settings)
    record = store.record(rref)
    assert Path(record.folder, "log.txt").read_text() == "said\n"
    assert store.provenance(rref)["seconds"] >= 0
    notes = json.loads(Path(store.dir("notes"), f"code-{record.code}.json").read_text())
    assert any(name.endswith("talking.<locals>.make") for name in notes)
    swapped = P.mkdrv_(P.mkconfig({"a": 2, "b": 1, "name": "talking"}), settings)
    assert swapped == rref.dref


def test_an_unchanged_derivation_stays_for_those_that_need_it(settings: P.StorageSettings) -> None:
    """Redefining a stage that another stage still depends on works, unlike in Pylightnix."""

    def both(r: P.Registry) -> list[P.DRef]:
        def make(b: P.Build) -> None:
            P.writestr(P.mklens(b).out.syspath, P.mklens(b).one.out.contents)

        config = {"name": "user", "one": one("old", r), "out": [P.selfref, "x"]}
        user = P.mkdrv(P.mkconfig(config), P.match_only(), P.build_wrapper(make), r)
        changed = P.redefine(P.partial(one, "old"), lambda c: c.update(text="new"))(r=r)
        return [user, changed]

    drefs, _, context = P.realize(P.instantiate(both, S=settings))
    contents = [P.mklens(context[d][0], S=settings).out.contents for d in drefs]
    assert contents == ["old", "new"]


BUILD_ONCE = """
import sys
from stagedml.pylightnix import *
S = mkSS(sys.argv[1])
def noisy(r):
    def make(b):
        sys.stdin.readline()
        writestr(join(build_outpath(b), "x"), sys.argv[2])
    return mkdrv(mkconfig({"name": "noisy"}), match_only(), build_wrapper(make), r)
print(realize1(instantiate(noisy, S=S)))
"""


def test_two_processes_build_once(settings: P.StorageSettings, tmp_path: Path) -> None:
    """A stage that is not deterministic, realized by two processes at once, gets one realization."""
    command = [sys.executable, "-c", BUILD_ONCE, str(tmp_path / "root")]
    both = [
        subprocess.Popen([*command, x], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for x in "ab"
    ]
    for process in both:  # whichever builds is let go; the other waits for it
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    outputs = [process.communicate()[0] for process in both]
    assert [p.returncode for p in both] == [0, 0]
    assert outputs[0] == outputs[1] != ""
    assert len(P.find("noisy", S=settings)) == 1


def test_archives_carry_a_closure_to_another_storage(settings: P.StorageSettings, tmp_path: Path) -> None:
    """`spack` and `sunpack` need no external program; what arrives is verified and the same."""

    def user(r: P.Registry) -> P.DRef:
        def make(b: P.Build) -> None:
            P.writestr(P.mklens(b).out.syspath, P.mklens(b).one.out.contents * 2)

        config = {"name": "user", "one": one("x", r), "out": [P.selfref, "x"]}
        return P.mkdrv(P.mkconfig(config), P.match_only(), P.build_wrapper(make), r)

    rref = P.realize1(P.instantiate(user, S=settings))
    archive = tmp_path / "closure.tar.gz"
    P.spack([rref], str(archive), settings)
    other = P.mkSS(str(tmp_path / "other"))
    P.fsinit(other)
    P.sunpack(str(archive), other)
    assert P.mklens(rref, S=other).one.out.contents == "x"
    store = P.store_of(other)
    assert [store.problems(store.record(r), deep=True) for r in P.allrrefs(other)] == [[], []]
    assert P.realize1(P.instantiate(user, S=other)) == rref


def test_fetching_needs_no_external_program(settings: P.StorageSettings, tmp_path: Path) -> None:
    """Files are checked, and unpacked as `aunpack` does; two things at the top get a folder of their own."""
    import tarfile

    folder = tmp_path / "content"
    folder.mkdir()
    for name in ("a.txt", "b.txt"):
        (folder / name).write_text(name)
    for name, members in (("single.tar.gz", ["."]), ("double.tar.gz", ["a.txt", "b.txt"])):
        with tarfile.open(tmp_path / name, "w:gz") as archive:
            for member in members:
                archive.add(folder / member, "top" if member == "." else member)
        path = tmp_path / name
        rref = P.realize1(
            P.instantiate(P.fetchurl, url=path.as_uri(), sha256=P.filehash(str(path)), S=settings)
        )
        names = sorted(n for n in P.lsref(rref, settings) if not n.startswith("_"))
        assert names == (["top"] if name == "single.tar.gz" else ["double"])
        fetched = P.realize1(P.instantiate(P.fetchurl2, url=str(path), S=settings))
        refpath = P.mklens(fetched.dref, S=settings).out.refpath
        unpacked = P.realize1(P.instantiate(unpacked_of, refpath, str(path), S=settings))
        assert sorted(n for n in P.lsref(unpacked, settings) if not n.startswith("_")) == names
    with pytest.raises(P.UsageError, match="checksum"):
        P.instantiate(P.fetchurl, url="https://example.org/x.zip", S=settings)


def unpacked_of(refpath: list[str], url: str, r: P.Registry) -> P.DRef:
    P.fetchurl2(url, r=r)
    return P.unpack(refpath=refpath, r=r)
