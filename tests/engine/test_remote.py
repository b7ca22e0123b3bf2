"""Remote stores: law 9, there and back the same bit for bit, and what was tampered with is refused."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from remotes import files_of, picture, published, put, trees, workbench
from small import chain, measured

from stagedml import RRef, Store, instantiate, realize
from stagedml.errors import (
    ConfigError,
    CorruptError,
    MissingError,
    RemoteError,
    StoreError,
    StoreFormatError,
)
from stagedml.hashing import canonical, ref_digest
from stagedml.remote import Remote, pull, push
from stagedml.remote.files import absent, shown

PROPERTY = settings(deadline=None, max_examples=25, suppress_health_check=list(HealthCheck))


@pytest.fixture(params=["path", "file", "memory"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of a remote store that is not there yet, of each kind."""
    place = str(tmp_path / "a remote")
    return {"path": place, "file": f"file://{place}", "memory": f"memory://{tmp_path.name}"}[request.param]


@pytest.fixture
def other(tmp_path: Path) -> Store:
    """Another machine's store."""
    return Store(tmp_path / "another store")


def pair(store: Store, tree: Any = None, logs: Any = None) -> tuple[RRef, RRef]:
    """A realization and one that was built from it."""
    below = put(store, "below", {"a file": ("f", b"below"), "empty": ("d", b"")})
    tree = {"t": ("f", b"top"), "run": ("x", b"#!"), "l": ("l", "t")} if tree is None else tree
    return below, put(
        store, "top", tree, logs={"x": ("f", b"log")} if logs is None else logs, built_from=(below,)
    )


def send(store: Store, url: str, *rrefs: RRef) -> list[Any]:
    return list(push(Remote(url), store, rrefs))


def bring(store: Store, url: str, rref: RRef) -> list[Any]:
    return list(pull(Remote(url), store, rref))


# law 9, the first half


@PROPERTY
@given(tree=trees(), logs=trees(), memory=st.booleans())
def test_there_and_back_is_the_same(tree: Any, logs: Any, memory: bool) -> None:
    """Whatever a realization holds, it comes back with the same reference, bytes, modes and kinds."""
    with workbench() as folder:
        url = f"memory://{folder}" if memory else f"{folder}/remote"
        here, there = Store(f"{folder}/here"), Store(f"{folder}/there")
        below, top = pair(here, tree, logs)
        assert [m.rref for m in send(here, url, top)] == [below, top]
        assert [(m.rref, m.was_there) for m in bring(there, url, top)] == [(below, False), (top, False)]
        for rref in (below, top):
            assert picture(there, rref) == picture(here, rref)
        assert published(there) == {below, top}
        assert os.listdir(there.dir("tmp")) == os.listdir(there.dir("locks")) == []


def test_what_lies_beside_comes_too(store: Store, other: Store, url: str) -> None:
    """The log, and the notes behind the record's code and environment, are there after a pull."""
    rref = realize(instantiate(measured))
    send(store, url, rref)
    bring(other, url, rref)
    assert picture(other, rref) == picture(store, rref)
    notes = {n for n in os.listdir(store.dir("notes")) if n.startswith(("code-", "environment-"))}
    assert len(notes) == 3
    assert set(os.listdir(other.dir("notes"))) == notes
    for name in notes:
        assert Path(other.dir("notes"), name).read_bytes() == Path(store.dir("notes"), name).read_bytes()


def test_the_second_time_nothing_moves(store: Store, other: Store, url: str) -> None:
    """Pushing and pulling again say that all is there; equal contents were sent once."""
    below, top = pair(store, {"one": ("f", b"same"), "two": ("x", b"same")}, {})
    first = send(store, url, top)
    assert [m.bytes for m in first] == [5 + len("built below\n"), 4 + len("built top\n")]
    assert [m.was_there for m in send(store, url, top, below)] == [True, True]
    bring(other, url, top)
    assert [(m.bytes, m.was_there) for m in bring(other, url, top)] == [(0, True), (0, True)]


def test_a_damaged_copy_here_is_replaced(store: Store, url: str) -> None:
    """A pull puts what is damaged aside and brings it anew."""
    _, top = pair(store)
    before = picture(store, top)
    send(store, url, top)
    file = Path(store.path_of(top), "t")
    file.chmod(0o644)
    file.write_bytes(b"bad")
    assert [m.was_there for m in bring(store, url, top)] == [True, False]
    assert picture(store, top) == before
    assert len(os.listdir(store.dir("quarantine"))) == 2


# law 9, the second half


def damage(remote: Path, draw: Any) -> str:
    """Does one bad thing to a remote store; says to which file."""
    files = sorted(files_of(remote))
    blobs = [f for f in files if f.startswith("blobs/")]
    name = draw(st.sampled_from(files))
    path = remote / name
    data = path.read_bytes()
    how = draw(st.sampled_from(["flip", "cut", "add", "swap", "lose", "folder"]))
    if how == "swap" and len(blobs) > 1 and name in blobs:
        another = remote / draw(st.sampled_from([b for b in blobs if b != name]))
        path.write_bytes(another.read_bytes())
        another.write_bytes(data)
    elif how == "flip" and data:
        at = draw(st.integers(0, len(data) - 1))
        path.write_bytes(data[:at] + bytes([data[at] ^ draw(st.integers(1, 255))]) + data[at + 1 :])
    elif how == "cut" and data:
        path.write_bytes(data[: draw(st.integers(0, len(data) - 1))])
    elif how == "lose":
        path.unlink()
    elif how == "folder":
        path.unlink()
        path.mkdir()
    else:
        path.write_bytes(data + draw(st.binary(min_size=1, max_size=3)))
    return name


@settings(PROPERTY, max_examples=100)
@given(data=st.data())
def test_one_wrong_byte_is_refused(data: Any) -> None:
    """A byte changed, a file cut, longer, swapped or gone, wherever it is: refused, and not published."""
    with workbench() as folder:
        here, there = Store(f"{folder}/here"), Store(f"{folder}/there")
        remote = Path(folder, "remote")
        _, top = pair(here)
        send(here, str(remote), top)
        name = damage(remote, data.draw)
        with pytest.raises(StoreError) as e:
            bring(there, str(remote), top)
        assert isinstance(e.value, CorruptError | MissingError | RemoteError | StoreFormatError)
        if name.startswith("blobs/"):
            assert isinstance(e.value, CorruptError)
        assert top not in published(there)
        assert os.listdir(there.dir("tmp")) == []


def test_the_error_names_the_file(store: Store, other: Store, tmp_path: Path) -> None:
    """One message: which artifact, what is wrong with it, where it lies, what to do."""
    _, top = pair(store, {"my model.bin": ("f", b"weights")})
    remote = tmp_path / "remote"
    send(store, str(remote), top)
    digest = hashlib.sha256(b"weights").hexdigest()
    blob = remote / "blobs" / digest[:2] / digest
    blob.write_bytes(b"Weights")
    with pytest.raises(CorruptError, match=r"'my model.bin' has another content") as e:
        bring(other, str(remote), top)
    assert e.value.where == str(blob)
    blob.write_bytes(b"w")
    with pytest.raises(CorruptError, match=r"'my model.bin' has another size"):
        bring(other, str(remote), top)
    blob.unlink()
    with pytest.raises(CorruptError, match=r"'my model.bin' is missing"):
        bring(other, str(remote), top)
    assert send(store, str(remote), top)[1].was_there  # the record says so; `check` looks
    assert [m.was_there for m in push(Remote(str(remote)), store, [top], check=True)] == [True, False]
    assert [m.rref for m in bring(other, str(remote), top)][1] == top


@settings(PROPERTY, max_examples=30)
@given(data=st.data())
def test_a_check_repairs_everything(data: Any) -> None:
    """Whatever was damaged there is sent again, and the rest is not."""
    with workbench() as folder:
        here, remote = Store(f"{folder}/here"), Path(folder, "remote")
        _, top = pair(here)
        send(here, str(remote), top)
        before = files_of(remote)
        for name in {damage(remote, data.draw) for _ in range(2)}:
            if (remote / name).is_dir():
                (remote / name).rmdir()
        (remote / "remote.json").write_bytes(before["remote.json"])
        moved = list(push(Remote(str(remote)), here, [top], check=True))
        assert files_of(remote) == before
        assert sum(m.bytes for m in moved) < sum(map(len, before.values()))
        assert list(push(Remote(str(remote)), here, [top], check=True))[1].was_there


def hostile(remote: Path, files: Any, **other: Any) -> RRef:
    """Puts a record on a remote whose digests are right and whose intentions are not."""
    config = canonical({"name": "evil", "logs": ["__volatile__", "logs"]})
    folder = f"{ref_digest('derivation:1', config)}-evil"
    hashed: Any = {"context": {}, "files": files, "instance": {"index": 0, "seed": 1}}
    rest = {"code": "", "provenance": {}, "published": 1, "volatile": {}} | other
    raw = canonical(hashed)[:-1] + b"," + canonical(rest)[1:]
    digest = ref_digest("realization:1", canonical(hashed))
    (remote / "drv" / folder).mkdir(parents=True, exist_ok=True)
    (remote / "drv" / folder / "config.json").write_bytes(config)
    told = raw + b"\n{}\n"
    third = hashlib.sha256(told).hexdigest().encode()
    (remote / "drv" / folder / f"{digest}.record").write_bytes(told + third + b"\n")
    (remote / "remote.json").write_bytes(b'{"remote":1}')
    return RRef(f"rref:{digest}-{folder}")


def content(remote: Path, data: bytes, kind: str = "f") -> list[Any]:
    """Puts a content on a remote; returns its place in a manifest."""
    digest = hashlib.sha256(data).hexdigest()
    (remote / "blobs" / digest[:2]).mkdir(parents=True, exist_ok=True)
    (remote / "blobs" / digest[:2] / digest).write_bytes(data)
    return [len(data), digest, kind]


@pytest.mark.parametrize(
    "name", ["../x", "/etc/x", "a/../../x", "", ".", "a//b", "a/", "..", "x\0y", "no folder/x"]
)
def test_hostile_names_are_refused(tmp_path: Path, other: Store, name: str) -> None:
    """A name that leaves its folder, or lies in none, is refused although every digest is right."""
    remote = tmp_path / "remote"
    rref = hostile(remote, {name: content(remote, b"evil")})
    with pytest.raises(CorruptError, match=r"leaves its folder|is in no folder"):
        bring(other, str(remote), rref)
    assert published(other) == set()
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    "links",
    [
        {"l": "../x"},
        {"l": "/etc/passwd"},
        {"l": ".."},
        {"d/l": "../../x"},
        {"d/up": "..", "d/l": "up/../x"},
        {"up": "d/..", "l": "up/../../x"},
    ],
)
def test_hostile_links_are_refused(tmp_path: Path, other: Store, links: dict[str, str]) -> None:
    """A link that leaves the folder, by itself or through another link, is refused."""
    remote = tmp_path / "remote"
    files = {name: content(remote, target.encode(), "l") for name, target in links.items()}
    rref = hostile(remote, {"d": [0, "", "d"], **files})
    with pytest.raises(CorruptError, match="is a link that leaves its folder"):
        bring(other, str(remote), rref)
    assert published(other) == set()


def test_a_link_is_no_folder(tmp_path: Path, other: Store) -> None:
    """Nothing is written through a link."""
    remote = tmp_path / "remote"
    files = {"l": content(remote, b".", "l"), "l/x": content(remote, b"evil")}
    with pytest.raises(CorruptError, match="is in no folder"):
        bring(other, str(remote), hostile(remote, files))


def test_what_no_digest_covers_must_be_declared(tmp_path: Path, other: Store) -> None:
    """A file that was smuggled in beside the volatile outputs is refused; a declared one is not."""
    remote = tmp_path / "remote"
    evil = content(remote, b"evil")
    with pytest.raises(CorruptError, match=r"'model.bin' was added"):
        bring(other, str(remote), hostile(remote, {}, volatile={"model.bin": evil}))
    fine = hostile(remote, {"d": [0, "", "d"]}, volatile={"logs": [0, "", "d"], "logs/x": evil})
    assert [m.rref for m in bring(other, str(remote), fine)] == [fine]


@pytest.mark.parametrize(
    "more",
    [
        {"published": "soon"}, {"published": -1}, {"code": "../../x"},
        {"volatile": {"x": 1}}, {"volatile": [1]},
        {"provenance": {"environment": "../x"}}, {"provenance": {"seconds": "x"}}, {"provenance": 3},
    ],
)  # fmt: skip
def test_records_of_another_form_are_refused(tmp_path: Path, other: Store, more: dict[str, Any]) -> None:
    """Fields that no digest covers still have to be what they are."""
    remote = tmp_path / "remote"
    with pytest.raises(CorruptError, match="record"):
        bring(other, str(remote), hostile(remote, {"x": content(remote, b"x")}, **more))


@pytest.mark.parametrize(
    "entry",
    [
        [1, "z" * 64, "f"], [-1, "0" * 64, "f"], [True, "0" * 64, "f"], [1, "../x", "f"],
        [0, "x", "d"], [1, "0" * 64, "p"], [], "f",
    ],
)  # fmt: skip
def test_manifests_of_another_form_are_refused(tmp_path: Path, other: Store, entry: Any) -> None:
    """Sizes are numbers, digests are digests, kinds are the four there are."""
    remote = tmp_path / "remote"
    with pytest.raises(CorruptError, match=r"'x'|form"):
        bring(other, str(remote), hostile(remote, {"x": entry}))


# places that are no remote stores


def test_a_place_without_a_remote_store(store: Store, tmp_path: Path) -> None:
    """Reading where nothing was pushed, or what somebody else keeps there, is refused with one sentence."""
    rref = realize(instantiate(chain))
    with pytest.raises(RemoteError, match="no remote store there"):
        bring(store, str(tmp_path / "nothing"), rref)
    (tmp_path / "full").mkdir()
    (tmp_path / "full/thesis.tex").write_text("mine")
    with pytest.raises(RemoteError, match=r"something else is there: thesis.tex"):
        send(store, str(tmp_path / "full"), rref)
    with pytest.raises(RemoteError, match="something else is there"):
        send(store, store.path, rref)
    (tmp_path / "newer").mkdir()
    (tmp_path / "newer/remote.json").write_text('{"remote":2}')
    with pytest.raises(StoreFormatError, match="knows format 1"):
        send(store, str(tmp_path / "newer"), rref)
    with pytest.raises(RemoteError, match="no such remote store"):
        bring(store, "nonsense://x/y", rref)
    with pytest.raises(ConfigError, match="is empty"):
        Remote("")


@pytest.mark.parametrize(
    ("cause", "lost"),
    [(None, False), (FileNotFoundError(), False), (KeyError(), False), (ConnectionRefusedError(), True)],
)
def test_a_server_that_is_away_is_not_a_missing_file(cause: Exception | None, lost: bool) -> None:
    """Over HTTP, fsspec says "not found" of both: the reason that it keeps tells them apart."""
    error = FileNotFoundError("http://host/x")
    error.__cause__ = cause
    if lost:
        with pytest.raises(FileNotFoundError):
            absent(error, None)
    else:
        assert absent(error, "nothing") == "nothing"


def test_passwords_stay_out_of_messages(tmp_path: Path) -> None:
    """What a remote store is called shows no credentials."""
    assert Remote(f"file://{tmp_path}").name == f"file://{tmp_path}"
    assert shown("ftp://me:secret@host/x@y/") == "ftp://host/x@y"


def test_an_incomplete_or_damaged_closure_is_not_pushed(store: Store, tmp_path: Path) -> None:
    """What is missing or damaged here is named; the record does not reach the remote."""
    below, top = pair(store)
    file = Path(store.path_of(top), "t")
    file.chmod(0o644)
    file.write_bytes(b"bad")
    with pytest.raises(CorruptError, match="it has another content"):
        send(store, str(tmp_path / "r"), top)
    with pytest.raises(MissingError, match="no realization"):
        bring(store, str(tmp_path / "r"), top)
    os.chmod(os.path.dirname(store.path_of(below)), 0o755)
    shutil.move(os.path.dirname(store.path_of(below)), tmp_path / "away")
    with pytest.raises(MissingError, match=below):
        send(store, str(tmp_path / "r"), top)


def test_a_user_may_say_less_than_a_reference(store: Store, url: str) -> None:
    """A name, a derivation or a part of a digest will do, where it means one thing."""
    below, top = pair(store)
    send(store, url, top)
    remote = Remote(url)
    for text in (top, top.dref, "top", top[5:12], top.digest):
        assert remote.resolve(text) == top
    with pytest.raises(MissingError, match="no realization 'nobody'"):
        remote.resolve("nobody")
    assert json.loads(json.dumps(remote.resolve("below"))) == below
