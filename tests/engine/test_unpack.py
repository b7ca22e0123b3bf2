"""Unpacking good archives and broken ones."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from archives import FILES, TAR_MODES, contents, refused, tarred, zipped

from stagedml.errors import FetchError
from stagedml.fetch.unpack import packed_name, unpack
from stagedml.progress import Progress

ZIP_METHODS = [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]
PACKERS: dict[str, Callable[[bytes], bytes]] = {
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
}


@pytest.mark.parametrize("suffix", TAR_MODES)
def test_tar(tmp_path: Path, suffix: str) -> None:
    """Each kind of tar gives its files."""
    archive = tarred(tmp_path / f"x{suffix}", FILES, TAR_MODES[suffix])
    assert unpack(archive, tmp_path / "out") == len(FILES)
    assert contents(tmp_path / "out") == FILES


@pytest.mark.parametrize(
    "method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]
)
def test_zip(tmp_path: Path, method: int) -> None:
    """Each packing of a zip gives its files."""
    assert unpack(zipped(tmp_path / "x.zip", FILES, method), tmp_path / "out") == len(FILES)
    assert contents(tmp_path / "out") == FILES


@pytest.mark.parametrize(
    ("suffix", "pack"), [(".gz", gzip.compress), (".bz2", bz2.compress), (".xz", lzma.compress)]
)
def test_single_file(tmp_path: Path, suffix: str, pack: Callable[[bytes], bytes]) -> None:
    """A single compressed file, also one of several streams, is written under its name without the suffix."""
    (tmp_path / "data.part").write_bytes(PACKERS[suffix](b"one,") + PACKERS[suffix](b"two"))
    assert unpack(tmp_path / "data.part", tmp_path / "out", name=f"page.xml{suffix}") == 1
    assert contents(tmp_path / "out") == {"page.xml": b"one,two"}


def test_tar_behind_another_name(tmp_path: Path) -> None:
    """What an archive is, is read from its bytes and not from its name."""
    tarred(tmp_path / "download?id=3", FILES, "w:gz")
    unpack(tmp_path / "download?id=3", tmp_path / "out")
    assert contents(tmp_path / "out") == FILES


def test_empty_archives(tmp_path: Path) -> None:
    """An archive of nothing is an empty folder."""
    assert unpack(zipped(tmp_path / "x.zip", {}), tmp_path / "zip") == 0
    assert unpack(tarred(tmp_path / "x.tar.gz", {}, "w:gz"), tmp_path / "tar") == 0
    assert os.listdir(tmp_path / "zip") == os.listdir(tmp_path / "tar") == []


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("a.tar.gz", "a"),
        ("a.b.ZIP", "a.b"),
        ("a.xml.bz2", "a.xml"),
        ("a.tgz", "a"),
        ("a", "a"),
        (".gz", ".gz"),
    ],
)
def test_packed_name(name: str, plain: str) -> None:
    """What says that a file is packed is taken off its name."""
    assert packed_name(name) == plain


def test_not_into_an_existing_folder(tmp_path: Path) -> None:
    """A folder that exists, with whatever links it may hold, is not unpacked to."""
    (tmp_path / "out").mkdir()
    with pytest.raises(FetchError, match="exists already"):
        unpack(zipped(tmp_path / "x.zip", FILES), tmp_path / "out")
    assert (tmp_path / "out").exists()


@pytest.mark.parametrize("suffix", [".zip", ".tar", ".tar.gz", ".tar.bz2", ".tar.xz", ".gz", ".bz2", ".xz"])
def test_truncated(tmp_path: Path, suffix: str) -> None:
    """An archive that is cut short anywhere is an error, never fewer files."""
    files = {f"f{i}": os.urandom(700) for i in range(4)}
    whole = tmp_path / f"whole{suffix}"
    if suffix == ".zip":
        zipped(whole, files)
    elif suffix.startswith(".tar"):
        tarred(whole, files, TAR_MODES[suffix])
    else:
        pack = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}[suffix]
        whole.write_bytes(pack(b"".join(files.values())))
    raw = whole.read_bytes()
    end = len(raw) if suffix != ".tar" else 4 * 1536  # what follows is padding
    cut = tmp_path / f"cut{suffix}"
    for at in [0, 1, 5, 100, 512, 1024, 1536, 3072, end // 2, end - 100, end - 9, end - 1]:
        if at < end:
            cut.write_bytes(raw[:at])
            refused(cut, kind=FetchError, match="cut short|damaged|not an archive")


def test_damaged_content(tmp_path: Path) -> None:
    """A flipped bit in the content is found by the archive's own checksum."""
    for archive in (zipped(tmp_path / "x.zip", {"a": b"x" * 5000}, zipfile.ZIP_STORED), tmp_path / "x.gz"):
        if archive.suffix == ".gz":
            archive.write_bytes(gzip.compress(os.urandom(5000), compresslevel=0))
        raw = bytearray(archive.read_bytes())
        raw[1000] ^= 1
        archive.write_bytes(raw)
        refused(archive, kind=FetchError, match="damaged")


def test_encrypted(tmp_path: Path) -> None:
    """An encrypted member is named."""
    archive = zipped(tmp_path / "x.zip", {"a": b"secret"}, zipfile.ZIP_STORED)
    raw = bytearray(archive.read_bytes())
    raw[6] |= 1
    raw[raw.index(b"PK\x01\x02") + 8] |= 1
    archive.write_bytes(raw)
    refused(archive, kind=FetchError, match="'a' is encrypted")


def test_unknown_packing(tmp_path: Path) -> None:
    """A zip packed in a way that Python cannot read is an error that says so."""
    archive = zipped(tmp_path / "x.zip", {"a": b"text"}, zipfile.ZIP_STORED)
    raw = bytearray(archive.read_bytes())
    raw[8] = raw[raw.index(b"PK\x01\x02") + 10] = 9
    archive.write_bytes(raw)
    refused(archive, kind=FetchError, match="cannot be read")


def test_error_page(tmp_path: Path) -> None:
    """A web page in place of an archive is shown for what it is."""
    (tmp_path / "x.zip").write_bytes(b"<!DOCTYPE html><html>Please log in</html>")
    refused(tmp_path / "x.zip", kind=FetchError, match="it begins with '<!DOCTYPE html>")


def test_odd_encodings(tmp_path: Path) -> None:
    """Names in UTF-8 are read as that, flagged or not; others as Latin-1 (tar) or code page 437 (zip)."""
    with tarfile.open(tmp_path / "x.tar", "w", format=tarfile.GNU_FORMAT, encoding="latin-1") as archive:
        archive.addfile(tarfile.TarInfo("caf\xe9"))
    unpack(tmp_path / "x.tar", tmp_path / "tar")
    assert os.listdir(tmp_path / "tar") == ["caf\xe9"]
    for raw_name, expected in (("é".encode(), "é"), (b"\x82", "é"), (b"\xff", "\xa0")):
        raw = zipped(tmp_path / "x.zip", {"?" * len(raw_name): b""}).read_bytes()
        (tmp_path / "x.zip").write_bytes(raw.replace(b"?" * len(raw_name), raw_name))
        unpack(tmp_path / "x.zip", tmp_path / f"zip{raw_name.hex()}")
        assert os.listdir(tmp_path / f"zip{raw_name.hex()}") == [expected]


def test_progress(tmp_path: Path) -> None:
    """Progress counts the bytes of the archive, once each."""

    class Counter(Progress):
        n = 0.0

        def update(self, n: float = 1) -> None:
            self.n += n

    for archive in (tarred(tmp_path / "x.tar.gz", FILES, "w:gz"), zipped(tmp_path / "x.zip", FILES)):
        counter = Counter()
        unpack(archive, tmp_path / archive.suffix, progress=counter)
        assert counter.n == archive.stat().st_size
