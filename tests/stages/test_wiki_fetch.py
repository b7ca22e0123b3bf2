"""Fetching dumps, from a real server on this machine."""

from __future__ import annotations

import bz2
import functools
import hashlib
import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from stagedml import Manager, Store, instantiate, mklens, realize
from stagedml.errors import ChecksumError, ConfigError, FetchError
from stagedml.stages.wiki.fetch import (
    all_fetchenwiki,
    all_fetchruwiki,
    choose_files,
    fetchwiki,
    read_sums,
)
from stagedml.testing import check_stage

NAMES = [
    "pages-articles.xml.bz2",
    "pages-articles-multistream.xml.bz2",
    "pages-articles-multistream-index.txt.bz2",
    "pages-articles1.xml-p1p41242.bz2",
    "pages-articles2.xml-p41243p151573.bz2",
    "pages-articles10.xml-p3000000p4000000.bz2",
    "pages-articles-multistream1.xml-p1p41242.bz2",
    "pages-meta-current.xml.bz2",
]


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        """Says nothing."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """A host with one dump of `xwiki`, and its sums file."""
    folder = tmp_path / "host" / "xwiki" / "20240101"
    folder.mkdir(parents=True)
    sums = []
    for name in NAMES:
        data = bz2.compress(name.encode())
        (folder / f"xwiki-20240101-{name}").write_bytes(data)
        sums.append(f"{hashlib.sha1(data).hexdigest()}  xwiki-20240101-{name}")
    (folder / "xwiki-20240101-sha1sums.txt").write_text("\n".join(sums) + "\n")
    handler = functools.partial(_Quiet, directory=str(tmp_path / "host"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()
        thread.join()


def fetched(server: str, **more: object) -> list[str]:
    """The names of the files that a fetch brings, without the prefix."""
    rref = realize(instantiate(fetchwiki, "xwiki", "20240101", host=server, **more))
    out = Path(mklens(rref).out.syspath)
    return (
        [p.name.removeprefix("xwiki-20240101-") for p in sorted(out.iterdir())]
        if out.is_dir()
        else [out.name]
    )


def test_the_single_file(store: Store, server: str) -> None:
    """Without a checksum, that of the sums file is used."""
    assert fetched(server) == ["pages-articles.xml.bz2"]


def test_parts(store: Store, server: str) -> None:
    """All parts of the articles, and nothing else."""
    assert fetched(server, parts=True) == [NAMES[3], NAMES[5], NAMES[4]]


def test_multistream(store: Store, server: str) -> None:
    """The multistream file, and its parts."""
    assert fetched(server, multistream=True) == [NAMES[1]]
    assert fetched(server, multistream=True, parts=True) == [NAMES[6]]


def test_a_given_checksum_needs_no_sums_file(store: Store, server: str, tmp_path: Path) -> None:
    """With a sha1 it is one plain download."""
    folder = tmp_path / "host" / "xwiki" / "20240101"
    (folder / "xwiki-20240101-sha1sums.txt").unlink()
    sha1 = hashlib.sha1((folder / f"xwiki-20240101-{NAMES[0]}").read_bytes()).hexdigest()
    assert fetched(server, sha1=sha1) == [f"xwiki-20240101-{NAMES[0]}"]


def test_a_wrong_file_is_refused(store: Store, server: str, tmp_path: Path) -> None:
    """A file that is not what the sums file says fails the stage and names the file."""
    path = tmp_path / "host" / "xwiki" / "20240101" / f"xwiki-20240101-{NAMES[0]}"
    path.write_bytes(b"other")
    with pytest.raises(ChecksumError, match=NAMES[0]):
        fetched(server)


def test_a_mirror_folder_stands_for_the_host(
    store: Store, server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mirror file maps the host to a folder, whose files are checked; the config stays."""
    mirror = tmp_path / "mirror.json"
    mirror.write_text(json.dumps({"https://dumps.wikimedia.org/": str(tmp_path / "host")}))
    monkeypatch.setenv("STAGEDML_MIRROR", str(mirror))
    rref = realize(instantiate(fetchwiki, "xwiki", "20240101", parts=True))
    assert mklens(rref).url.val.startswith("https://dumps.wikimedia.org/xwiki/20240101/")
    assert len(list(Path(mklens(rref).out.syspath).iterdir())) == 3
    (tmp_path / "host" / "xwiki" / "20240101" / f"xwiki-20240101-{NAMES[1]}").write_bytes(b"other")
    with pytest.raises(ChecksumError, match="multistream"):
        realize(instantiate(fetchwiki, "xwiki", "20240101", multistream=True))


def test_what_every_stage_owes(server: str) -> None:
    """Identity, laziness, promises, reuse."""
    check_stage(fetchwiki, dumpname="xwiki", dumpdate="20240101", host=server)


def test_the_reports_dumps(store: Store) -> None:
    """The dumps that the reports cite have these addresses and checksums."""
    m = Manager(store)
    assert (
        mklens(instantiate(all_fetchenwiki)).url.val
        == "https://dumps.wikimedia.org/enwiki/20200301/enwiki-20200301-pages-articles.xml.bz2"
    )
    assert "852dfec9eba3c4d5ec259e60dca233b6a777a05e" in mklens(instantiate(all_fetchenwiki)).checksum.val
    assert "9f522ccf2931497e99a12d001a3bc7910f275519" in mklens(instantiate(all_fetchruwiki)).checksum.val
    assert all_fetchenwiki(m) != all_fetchruwiki(m)


def test_wrong_names_are_refused(store: Store) -> None:
    """A name or date that no dump can have, and one sum for many files, fail at once."""
    m = Manager(store)
    for arguments in [("en wiki", "20200301"), ("enwiki", "2020-03-01"), ("enwiki", "")]:
        with pytest.raises(ConfigError, match="no such dump"):
            fetchwiki(m, *arguments)
    with pytest.raises(ConfigError, match="one sha1"):
        fetchwiki(m, sha1="0" * 40, parts=True)


def test_a_file_that_is_not_listed() -> None:
    """A sums file without the file asked for says what it has."""
    sums = read_sums(f"{'0' * 40}  w-1-pages-articles.xml.bz2\nnonsense\n")
    assert choose_files(sums, "w-1-pages-articles.xml.bz2", parts=False)
    with pytest.raises(FetchError, match="lists no parts of"):
        choose_files(sums, "w-1-pages-articles.xml.bz2", parts=True)
