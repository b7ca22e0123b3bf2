"""The fetch stages, realized: from servers, mirrors and local files into a store."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from archives import FILES, contents, tarred, zipped
from faulty_server import Fault, Site

from stagedml import DRef, RRef, Store, instantiate, mklens, realize
from stagedml.errors import ChecksumError, ConfigError, FetchError, UnsafeArchiveError
from stagedml.fetch import RECORD, fetchlocal, fetchurl
from stagedml.fetch.localfiles import content_sum


@pytest.fixture(autouse=True)
def _no_mirror(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test depends on the mirror of whoever runs it."""
    monkeypatch.delenv("STAGEDML_MIRROR", raising=False)


def use_mirror(monkeypatch: pytest.MonkeyPatch, folder: Path, mappings: dict[str, object]) -> None:
    """Writes a mirror file and makes it the current one."""
    (folder / "mirror.json").write_text(json.dumps(mappings))
    monkeypatch.setenv("STAGEDML_MIRROR", str(folder / "mirror.json"))


def out(rref: RRef) -> Path:
    """The `out` of a realization."""
    return Path(mklens(rref).out.syspath)


def record(rref: RRef) -> dict[str, object]:
    """What a realization says of where it came from."""
    return dict(json.loads(Path(mklens(rref).record.syspath).read_text()))


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_unpack(store: Store, site: Site, tmp_path: Path) -> None:
    """An archive is downloaded, checked and unpacked; its fields read through a lens."""
    packed = zipped(tmp_path / "x.zip", FILES).read_bytes()
    url = site.put("/data/CoLA.zip", packed)
    rref = realize(instantiate(fetchurl, url=url, sha256=sha256(packed)))
    assert contents(out(rref)) == FILES
    assert mklens(rref).url.val == url
    assert rref.name == "fetch-CoLA"
    seen = record(rref)
    assert (seen["url"], seen["sha256"], seen["bytes"]) == (url, sha256(packed), len(packed))


def test_asis(store: Store, site: Site) -> None:
    """A file as it is keeps its name, and its seen sha256 is recorded where none was given."""
    rref = realize(instantiate(fetchurl, url=site.put("/d/train%20set.tsv?x=1", b"rows"), mode="asis"))
    assert out(rref).name == "train set.tsv"
    assert out(rref).read_bytes() == b"rows"
    assert record(rref)["sha256"] == sha256(b"rows")


def test_single_compressed_file(store: Store, site: Site, tmp_path: Path) -> None:
    """A single compressed file is unpacked under its published name, not under that of the part file."""
    import bz2

    rref = realize(instantiate(fetchurl, url=site.put("/enwiki.xml.bz2", bz2.compress(b"<xml/>"))))
    assert contents(out(rref)) == {"enwiki.xml": b"<xml/>"}


def test_refpath(store: Store, site: Site) -> None:
    """What depends on a fetched file can name it by refpath."""
    dref = instantiate(fetchurl, url=site.put("/vocab.txt", b"a\nb\n"), mode="asis").dref
    assert mklens(dref).out.refpath == [dref, "vocab.txt"]


def test_fetched_once(store: Store, site: Site) -> None:
    """A second realize asks no server."""
    url = site.put("/a", b"x")
    first = realize(instantiate(fetchurl, url=url, mode="asis"))
    assert realize(instantiate(fetchurl, url=url, mode="asis")) == first
    assert len(site.requests) == 1


def test_identity(store: Store) -> None:
    """URL, checksum and mode are identity; the same said twice is one derivation."""
    url, digest = "https://data.example/a.zip", "0" * 64
    variants: list[dict[str, object]] = [
        {"url": url},
        {"url": url + "?v=2"},
        {"url": url, "sha256": digest},
        {"url": url, "sha256": "1" * 64},
        {"url": url, "sha1": "0" * 40},
        {"url": url, "mode": "asis"},
        {"url": url, "filename": "b.zip"},
        {"url": url, "name": "other"},
        {"url": url, "size": 3},
    ]
    drefs = [instantiate(fetchurl, **v).dref for v in variants]
    assert len(set(drefs)) == len(variants)
    assert instantiate(fetchurl, url=url, sha256=digest.upper(), mode="unpack,remove").dref == drefs[2]


def test_pinned_reference(store: Store) -> None:
    """The reference of a download is the same in every version: data is not fetched again for nothing."""
    dref = instantiate(
        fetchurl,
        url="https://dl.fbaipublicfiles.com/glue/data/CoLA.zip",
        sha256="f212fcd832b8f7b435fb991f101abf89f96b933ab400603bf198960dfc32cbff",
    ).dref
    assert dref == "dref:e8077bafca618399d25c037261893164-fetch-CoLA"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"url": "data.zip"}, "fetchlocal"),
        ({"url": "https://h.example/"}, "give filename="),
        ({"url": "https://h.example/a%2Fb"}, "no plain file name"),
        ({"url": "https://h.example/a", "filename": "../b"}, "no plain file name"),
        ({"url": "https://h.example/a", "filename": RECORD, "mode": "asis"}, "is taken"),
        ({"url": "https://h.example/a", "mode": "unzip"}, "modes: 'unpack', 'asis'"),
        ({"url": "https://h.example/a", "sha256": "12"}, "64 hexadecimal digits"),
        ({"url": "https://h.example/a", "sha1": "0" * 40, "md5": "0" * 32}, "more than one checksum"),
    ],
)
def test_mistakes_are_found_at_instantiate(store: Store, options: dict[str, str], said: str) -> None:
    """What cannot work is refused before anything is built."""
    with pytest.raises(ConfigError, match=said):
        instantiate(fetchurl, **options)


@pytest.mark.parametrize("mode", ["asis", "unpack"])
def test_wrong_checksum(store: Store, site: Site, mode: str) -> None:
    """A wrong checksum names what was expected, what came and from where, and publishes nothing."""
    url = site.put("/a.zip", b"rubbish")
    closure = instantiate(fetchurl, url=url, sha256="0" * 64, mode=mode)
    with pytest.raises(ChecksumError) as e:
        realize(closure)
    for said in (url, "0" * 64, sha256(b"rubbish")):
        assert said in str(e.value)
    assert list(store.records(closure.dref)) == []


def test_unsafe_archive(store: Store, site: Site, tmp_path: Path) -> None:
    """An archive that leaves its folder publishes nothing."""
    closure = instantiate(
        fetchurl, url=site.put("/a.tar", tarred(tmp_path / "a.tar", {"../x": b""}).read_bytes())
    )
    with pytest.raises(UnsafeArchiveError, match=r"a\.tar"):
        realize(closure)
    assert list(store.records(closure.dref)) == []


KILLED = """
import sys
from stagedml import Store, instantiate, realize
from stagedml.fetch import fetchurl
from stagedml.store import using
with using(Store(sys.argv[1])):
    realize(instantiate(fetchurl, url=sys.argv[2], mode="asis"))
"""


def test_continues_after_a_kill(store: Store, site: Site) -> None:
    """A download killed halfway goes on where it was, and the provenance says so."""
    body = bytes(range(256)) * 2000
    url = site.put("/big.bin", body)
    site.faults.append(Fault(stall=300_000))
    with subprocess.Popen([sys.executable, "-c", KILLED, store.path, url]) as child:
        assert site.stalled.wait(30)
        while not any(p.stat().st_size == 300_000 for p in Path(store.dir("scratch")).rglob("*.part")):
            assert child.poll() is None
            os.sched_yield()
        child.send_signal(signal.SIGKILL)
    rref = realize(instantiate(fetchurl, url=url, mode="asis"))
    assert out(rref).read_bytes() == body
    assert site.ranges() == ["", "bytes=300000-"]
    assert record(rref)["resumed_at"] == 300_000
    assert "byte 300,000" in (out(rref).parent.parent / "context.json").read_text()


def test_mirror_is_not_identity(
    store: Store, site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same URL from a server, a mirror server and a folder is one realization."""
    zipped(tmp_path / "x.zip", FILES)
    packed = (tmp_path / "x.zip").read_bytes()
    site.put("/mirror/data/x.zip", packed)
    url = "https://data.example/data/x.zip"
    found: list[tuple[DRef, RRef]] = []
    for target in (site.url + "/mirror/", str(tmp_path)):
        prefix = "https://data.example/" if target.startswith("http") else "https://data.example/data/"
        use_mirror(monkeypatch, tmp_path, {prefix: target})
        with_store = Store(tmp_path / f"store{len(found)}")
        from stagedml.store import using

        with using(with_store):
            closure = instantiate(fetchurl, url=url, sha256=sha256(packed))
            rref = realize(closure)
            found.append((closure.dref, rref))
            assert contents(out(rref)) == FILES
            assert str(record(rref)["source"]).startswith(target)
    assert found[0] == found[1]


def test_mirror_of_an_unpacked_folder(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder stands for the archive; it is copied, not shared, and nothing in it is touched."""
    (tmp_path / "SST-2").mkdir()
    train = tmp_path / "SST-2/train.tsv"
    train.write_text("rows")
    train.chmod(0o640)
    before = train.stat()
    url = "https://data.example/SST-2.zip"
    use_mirror(monkeypatch, tmp_path, {url: {"folder": "SST-2", "as": "SST-2"}})
    rref = realize(instantiate(fetchurl, url=url, sha256="0" * 64))
    assert contents(out(rref)) == {"SST-2/train.tsv": b"rows"}
    after = train.stat()
    assert (after.st_mode, after.st_mtime_ns, after.st_nlink) == (before.st_mode, before.st_mtime_ns, 1)
    assert "not checked" in (out(rref).parent.parent / "log.txt").read_text()


@pytest.mark.parametrize("content", [b"x", None])
def test_mirror_errors_name_the_mapping(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None
) -> None:
    """A missing file and a wrong checksum both say which mapping led there."""
    if content is not None:
        (tmp_path / "a").write_bytes(content)
    use_mirror(monkeypatch, tmp_path, {"https://data.example/": "."})
    with pytest.raises(FetchError, match=r"'https://data.example/' -> '\.' in .*mirror\.json"):
        realize(instantiate(fetchurl, url="https://data.example/a", mode="asis", sha256="0" * 64))


def test_mirror_answers_404(
    store: Store, site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mirror server without the file is named together with the mapping."""
    use_mirror(monkeypatch, tmp_path, {"https://data.example/": site.url})
    with pytest.raises(
        FetchError, match=r"/a: the server answered 404[\s\S]*the mapping 'https://data.example/'"
    ):
        realize(instantiate(fetchurl, url="https://data.example/a", mode="asis"))


def test_missing_mirror_file(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mirror file that is not there is not silently no mirror."""
    monkeypatch.setenv("STAGEDML_MIRROR", str(tmp_path / "none.json"))
    with pytest.raises(FetchError, match=r"none\.json"):
        realize(instantiate(fetchurl, url="https://data.example/a", mode="asis"))


def test_folder_for_a_file(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder cannot stand for a file that is wanted as it is."""
    use_mirror(monkeypatch, tmp_path, {"https://data.example/a.zip": "."})
    with pytest.raises(FetchError, match="wanted as one file"):
        realize(instantiate(fetchurl, url="https://data.example/a.zip", mode="asis"))


def test_file_url(store: Store, tmp_path: Path) -> None:
    """A file URL works without any mirror."""
    (tmp_path / "a.txt").write_text("text")
    rref = realize(instantiate(fetchurl, url=(tmp_path / "a.txt").as_uri(), mode="asis", size=4))
    assert out(rref).read_text() == "text"
    with pytest.raises(FetchError, match="wrong length: expected 5 bytes, got 4"):
        realize(instantiate(fetchurl, url=(tmp_path / "a.txt").as_uri(), mode="asis", size=5))


def test_local_file(store: Store, tmp_path: Path) -> None:
    """A local file is identified by its content and name: a change is noticed, a move is not one."""
    file = tmp_path / "notes.txt"
    file.write_text("one")
    first = instantiate(fetchlocal, path=file, mode="asis")
    assert out(realize(first)).read_text() == "one"
    (tmp_path / "elsewhere").mkdir()
    moved = file.rename(tmp_path / "elsewhere/notes.txt")
    assert instantiate(fetchlocal, path=str(moved), mode="asis").dref == first.dref
    moved.write_text("two")
    second = instantiate(fetchlocal, path=str(moved), mode="asis")
    assert second.dref != first.dref
    assert out(realize(second)).read_text() == "two"


def test_local_archive(store: Store, tmp_path: Path) -> None:
    """A local archive is unpacked in place of a copy."""
    rref = realize(instantiate(fetchlocal, path=tarred(tmp_path / "x.tgz", FILES, "w:gz")))
    assert contents(out(rref)) == FILES


def test_local_folder(store: Store, tmp_path: Path) -> None:
    """A folder is identified by the names, contents and execute bits below it, and links are followed."""
    source = tmp_path / "src"
    (source / "d/empty").mkdir(parents=True)
    (source / "d/a").write_text("a")
    (tmp_path / "beside").write_text("b")
    (source / "link").symlink_to(tmp_path / "beside")
    rref = realize(instantiate(fetchlocal, path=source))
    assert contents(out(rref)) == {"d/a": b"a", "link": b"b"}
    assert (out(rref) / "d/empty").is_dir()
    assert not (out(rref) / "link").is_symlink()
    sums = {content_sum(source)}
    changes = [
        lambda: (source / "d/a").rename(source / "d/b"),
        lambda: (source / "d/b").write_text("A"),
        lambda: (source / "d/b").chmod(0o755),
        lambda: (source / "d/empty").rmdir(),
        lambda: (tmp_path / "beside").write_text("c"),
    ]
    for change in changes:
        change()
        sums.add(content_sum(source))
    assert len(sums) == 1 + len(changes)


def test_local_change_in_between(store: Store, tmp_path: Path) -> None:
    """What changed between instantiate and realize is not published under the old content's name."""
    file, folder = tmp_path / "f.txt", tmp_path / "d"
    folder.mkdir()
    for path in (file, folder / "f.txt"):
        path.write_text("one")
    closures = [instantiate(fetchlocal, path=file, mode="asis"), instantiate(fetchlocal, path=folder)]
    for path in (file, folder / "f.txt"):
        path.write_text("two")
    for closure in closures:
        with pytest.raises(ChecksumError):
            realize(closure)
        assert list(store.records(closure.dref)) == []


def test_local_file_that_is_gone(store: Store, tmp_path: Path) -> None:
    """With its sha256 a local file need not be there any more once the store has it."""
    file = tmp_path / "f.txt"
    file.write_bytes(b"kept")
    options = {"path": file, "sha256": sha256(b"kept"), "mode": "asis"}
    rref = realize(instantiate(fetchlocal, **options))
    assert instantiate(fetchlocal, path=file, mode="asis").dref == rref.dref
    file.unlink()
    assert realize(instantiate(fetchlocal, **options)) == rref
    with pytest.raises(FetchError, match="is gone"):
        realize(instantiate(fetchlocal, **{**options, "sha256": "0" * 64}))
    with pytest.raises(ConfigError, match="no such file or folder"):
        instantiate(fetchlocal, path=file)
