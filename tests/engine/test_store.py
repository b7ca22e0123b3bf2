"""The store: whole or not at all, never serving what was touched, clear about what it cannot do."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from small import bad_data, chain, dies_halfway, fails, forgets, measured, words

from stagedml import Store, instantiate, mklens, realize
from stagedml.disk import MTIME
from stagedml.errors import (
    BuildError,
    CorruptError,
    DataError,
    MissingError,
    PromiseError,
    StoreError,
    StoreFormatError,
)
from stagedml.store import using

AS_ROOT = os.geteuid() == 0


def tamper(path: str, text: str | None) -> None:
    """Changes (or, with None, removes) a published file behind the store's back, keeping its size."""
    folder = os.path.dirname(path)
    os.chmod(folder, 0o755)
    if text is None:
        os.unlink(path)
    else:
        os.chmod(path, 0o644)
        Path(path).write_text(text)


@pytest.mark.parametrize("text", ["8", "999", None])
def test_a_tampered_or_deleted_artifact_is_never_served_but_rebuilt(store: Store, text: str | None) -> None:
    """What looks touched is read, put into quarantine with the reason, and built again."""
    rref = realize(instantiate(chain))
    tamper(mklens(rref).out.syspath, text)
    assert realize(instantiate(chain)) == rref
    assert Path(mklens(rref).out.syspath).read_text() == "9"
    assert len(list(Path(store.dir("quarantine")).glob("*.reason.txt"))) == 1


def test_an_added_file_is_noticed(store: Store) -> None:
    """A folder that got one more file is not what was published."""
    rref = realize(instantiate(chain))
    folder = Path(store.path_of(rref), "deep")
    folder.chmod(0o755)
    (folder / "extra").write_text("x")
    assert store.problems(store.record(rref)) == ["deep/extra was added"]


def test_touching_without_changing_is_harmless(store: Store) -> None:
    """A copy that lost the times is read once more, and found whole."""
    rref = realize(instantiate(chain))
    path = mklens(rref).out.syspath
    assert os.stat(path).st_mtime == MTIME
    os.utime(path, (5, 5))
    assert store.problems(store.record(rref)) == []
    assert realize(instantiate(chain)) == rref


def test_a_content_change_that_hides_its_traces_is_found_by_a_deep_look(store: Store) -> None:
    """Same size, same time: only reading every byte shows it, and `verify` does."""
    rref = realize(instantiate(chain))
    path = mklens(rref).out.syspath
    tamper(path, "8")
    os.utime(path, (MTIME, MTIME))
    record = store.record(rref)
    assert store.problems(record) == []
    assert store.problems(record, deep=True) == ["deep/count.json has another content"]


def test_a_tampered_context_is_refused_and_rebuilt(store: Store) -> None:
    """The record of a realization is part of its digest."""
    rref = realize(instantiate(chain))
    path = f"{store.record(rref).folder}/context.json"
    tamper(path, Path(path).read_text().replace('"index":0', '"index":1'))
    with pytest.raises(CorruptError, match="not what was published"):
        store.record(rref)
    assert realize(instantiate(chain)) == rref


def test_a_damaged_config_is_named(store: Store) -> None:
    """A config that is not what its folder is named after is an error with the remedy."""
    dref = instantiate(chain).dref
    realize(instantiate(chain))
    path = f"{store.path}/drv/{dref.folder}/config.json"
    for text in ("{", '{"name":"count"}', '{"name":"..."}'):
        Path(path).write_text(text)
        with pytest.raises(CorruptError, match="stagedml verify"):
            Store(store.path).config(dref)


def test_a_failing_realizer_is_reported_with_the_tail_of_its_log(store: Store) -> None:
    """The message names the stage, the error and what it printed last; the traceback is in the log."""
    with pytest.raises(BuildError, match=r"fails: ValueError: the realizer's own trouble") as e:
        realize(instantiate(fails, src=words))
    assert "about to fail" in e.value.log_tail
    assert "raise ValueError" in e.value.log_tail
    assert e.value.dref == instantiate(fails, src=words).dref


def test_bad_data_keeps_its_own_message(store: Store) -> None:
    """A typed error of a realizer arrives as it is."""
    with pytest.raises(DataError, match=r"train\.tsv:3: an unknown label 'x'\n.*0 and 1"):
        realize(instantiate(bad_data))


def test_a_broken_promise_is_named_with_what_is_there(store: Store) -> None:
    """The missing output, its stage, and the files that the realizer did leave."""
    with pytest.raises(PromiseError, match=r"forgets: .*out is missing: promised\.txt\n.*other\.txt"):
        realize(instantiate(forgets))
    assert store.records(instantiate(forgets).dref) == []


def test_the_log_is_kept_beside_the_artifacts(store: Store) -> None:
    """What a stage printed can be read later, and is no part of its digest."""
    rref = realize(instantiate(chain))
    record = store.record(mklens(rref).src.rref)
    assert Path(record.folder, "log.txt").read_text() == "splitting 'a b c'\n"
    assert "log.txt" not in record.files


def test_volatile_outputs_do_not_enter_the_digest_but_are_verified(store: Store, tmp_path: Path) -> None:
    """Two runs with different logs are one realization; a damaged log is damage all the same."""
    one = realize(instantiate(measured))
    with using(Store(tmp_path / "other")):
        assert realize(instantiate(measured)) == one
    tamper(f"{store.path_of(one)}/logs/pid.txt", "x")
    assert store.problems(store.record(one)) == ["logs/pid.txt has another size"]


def test_a_store_of_a_newer_format_is_refused(tmp_path: Path) -> None:
    """The message says which format it has, which is known, and what to do."""
    Store(tmp_path)
    (tmp_path / "format.json").write_text('{"format": 99}')
    with pytest.raises(StoreFormatError, match=r"format 99, this stagedml knows 1\n.*another --store"):
        Store(tmp_path)
    (tmp_path / "format.json").write_text("garbage")
    with pytest.raises(StoreFormatError, match=r"cannot be read"):
        Store(tmp_path)


def test_a_folder_with_other_things_is_not_made_a_store(tmp_path: Path) -> None:
    """Pointing at one's home by mistake changes nothing there."""
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(StoreError, match="other things in it"):
        Store(tmp_path)
    assert os.listdir(tmp_path) == ["thesis.tex"]


def test_a_copy_of_the_derivations_alone_is_a_whole_store(tmp_path: Path, store: Store) -> None:
    """What cannot be had again is `drv` and `format.json`: a copy of the two serves, and can be built in."""
    rref = realize(instantiate(chain))
    copy = tmp_path / "copy"
    shutil.copytree(f"{store.path}/drv", copy / "drv")
    shutil.copy(f"{store.path}/format.json", copy)
    with using(Store(copy)):
        assert realize(instantiate(chain)) == rref
        assert realize(instantiate(chain, times=4)) != rref


def test_a_file_where_the_store_should_be_is_named(tmp_path: Path) -> None:
    """Not a traceback of NotADirectoryError."""
    (tmp_path / "f").write_text("x")
    for path in (tmp_path / "f", tmp_path / "f" / "deeper"):
        with pytest.raises(StoreError, match="cannot be"):
            Store(path)


def test_a_missing_reference_says_so(store: Store) -> None:
    """Derivations and realizations that this store does not hold."""
    with pytest.raises(MissingError, match="no realization rref"):
        store.path_of("rref:" + "0" * 32 + "-" + "0" * 32 + "-x")
    with pytest.raises(MissingError, match="no derivation dref"):
        store.config("dref:" + "0" * 32 + "-x")


@pytest.mark.skipif(AS_ROOT and not shutil.which("setpriv"), reason="root ignores permissions; needs setpriv")
def test_a_read_only_store_serves_what_it_has_and_says_that_it_cannot_build(tmp_path: Path) -> None:
    """A published result can be used from a store that nobody may write to."""
    import sys

    path = tmp_path / "store"
    with using(Store(path)):
        rref = realize(instantiate(words))
    for folder, _, _ in os.walk(path):
        os.chmod(folder, 0o555)
    os.chmod(tmp_path, 0o755)
    for parent in tmp_path.parents:
        if parent.stat().st_uid == os.geteuid() and parent != Path("/"):
            os.chmod(parent, parent.stat().st_mode | 0o011)
    code = (
        "import sys; sys.path[:0] = %r\n"
        "from small import words\nfrom stagedml import *\n"
        "initialize(sys.argv[1])\n"
        "print(realize(instantiate(words)))\n"
        "try: realize(instantiate(words, text='new'))\n"
        "except Exception as e: print(type(e).__name__, e)\n"
    )
    drop = ["setpriv", "--reuid=65534", "--clear-groups"] if AS_ROOT else []
    if subprocess.run([*drop, sys.executable, "-c", ""], capture_output=True, check=False).returncode:
        pytest.skip("another user cannot start this Python")
    done = subprocess.run(
        [*drop, sys.executable, "-B", "-c", code % sys.path, str(path)],
        capture_output=True, text=True, check=False, cwd="/",
    )  # fmt: skip
    for folder, _, _ in os.walk(path):
        os.chmod(folder, 0o755)
    lines = done.stdout.splitlines()
    assert lines[:1] == [rref], done.stderr
    assert lines[1].startswith("StoreError")


def test_scratch_survives_a_failure_and_goes_when_the_result_is_published(store: Store) -> None:
    """A realizer finds its own scratch again, and nobody else's."""
    rref = realize(instantiate(dies_halfway))
    assert Path(mklens(rref).out.syspath).read_text() == "10"
    assert os.listdir(store.dir("scratch")) == []
