"""The record of a remote realization: each of its bytes counts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from remotes import put

from stagedml import Store
from stagedml.errors import CorruptError
from stagedml.remote.entry import Entry, note_is_true, pack, undeclared, unpack, unpack_config


def changed(data: bytes) -> Iterator[bytes]:
    """Every way to change a byte a little or much, to cut the end off, and to put a blank anywhere."""
    for i in range(len(data)):
        for bits in (1, 0x20, 0xFF):
            yield data[:i] + bytes([data[i] ^ bits]) + data[i + 1 :]
        yield data[:i]
        yield data[:i] + b" " + data[i:]
        yield data[:i] + data[i + 1 :]
    yield from (data + b" ", data + b"\n", b"\n" + data, data + data, b"{}\n{}\n", b"null\nnull\n")


def entry(store: Store) -> tuple[bytes, Entry]:
    """A record with everything in it, and what is read back."""
    rref = put(store, "one", {"a b": ("f", b"x"), "d": ("d", b"")}, logs={"l": ("f", b"log")})
    raw = Path(store.record(rref).folder, "context.json").read_bytes()
    data = pack(raw, {"log.txt": [3, "0" * 64]})
    return data, unpack(data, rref, "there")


def test_a_record_comes_back(store: Store) -> None:
    """What was packed is read back: the bytes of `context.json`, its manifest, and what lies beside."""
    data, back = entry(store)
    record = store.record(back.record.rref)
    assert back.record._replace(folder="") == record._replace(folder="")
    assert back.raw + b"\n" == data.splitlines(keepends=True)[0]
    assert set(back.manifest) == {"a b", "d", "@logs", "@logs/l"} - {"@logs"} | set(record.volatile)
    assert back.beside == {"log.txt": [3, "0" * 64]}


def test_every_byte_of_a_record_counts(store: Store) -> None:
    """Hashed or not: no byte of a record can be changed, lost or added."""
    data, back = entry(store)
    for wrong in changed(data):
        with pytest.raises(CorruptError):
            unpack(wrong, back.record.rref, "there")


def test_a_record_of_another_realization_is_refused(store: Store) -> None:
    """A whole record under another's name is not that one."""
    data, _ = entry(store)
    with pytest.raises(CorruptError, match=r"there: context.json is not what was published"):
        unpack(data, put(store, "two", {}), "there")


def test_every_byte_of_a_config_counts(store: Store) -> None:
    """A config is its canonical bytes and nothing else."""
    _, back = entry(store)
    dref = back.record.rref.dref
    config = store.config(dref)
    assert unpack_config(config.bytes, dref, "there") == config
    for wrong in changed(config.bytes):
        with pytest.raises(CorruptError):
            unpack_config(wrong, dref, "there")


@pytest.mark.parametrize("data", [b"[" * 100_000, b"\xff", b"", b"NaN\nNaN\n", b"1e999\n1e999\n"])
def test_nonsense_is_refused(store: Store, data: bytes) -> None:
    """Nothing that a file can hold makes another error than the one that says it is damaged."""
    rref = put(store, "one", {})
    with pytest.raises(CorruptError):
        unpack(data, rref, "there")
    with pytest.raises(CorruptError):
        unpack(data + b"\n" + data, rref, "there")
    with pytest.raises(CorruptError):
        unpack_config(data, rref.dref, "there")


def test_second_lines_are_checked_too(store: Store) -> None:
    """Only a log and the record's own notes lie beside, each with size and digest."""
    _, back = entry(store)
    for beside in (
        {"../x": [1, "0" * 64]},
        {"log.txt": [1]},
        {"log.txt": [1, "x"]},
        {"code-00.json": [1, "0" * 64]},
        [],
    ):
        with pytest.raises(CorruptError):
            unpack(pack(back.raw, beside), back.record.rref, "there")  # type: ignore[arg-type]


def test_notes_prove_themselves() -> None:
    """A note is under its own digest, or it is none."""
    for name in ("code-00.json", "environment-00.json"):
        for data in (b"{}", b"[]", b"nonsense", b"[" * 100_000, b"\xff"):
            assert not note_is_true(name, "00", data)


def test_adopted_realizations_have_their_own_volatile_files(store: Store) -> None:
    """Names with an underscore do not count in Pylightnix; anything else must be declared."""
    _, back = entry(store)
    config = store.config(back.record.rref.dref)
    volatile = {name: [0, "", "d"] for name in ("@logs", "@logs/x", "_time", "d/_x", "@logs2", "model")}
    assert list(undeclared(config, back.record._replace(volatile=volatile))) == ["@logs2", "model"]  # type: ignore[arg-type]
