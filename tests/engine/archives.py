"""Archives for the tests of unpacking, good and bad."""

from __future__ import annotations

import io
import os
import tarfile
import zipfile
from pathlib import Path
from typing import Literal

import pytest

from stagedml.errors import FetchError, UnsafeArchiveError
from stagedml.fetch.unpack import unpack

FILES = {"a.txt": b"alpha", "d/b.txt": b"beta" * 100, "d/e/empty": b"", "я/ü ß.txt": b"other scripts"}
TarMode = Literal["w", "w:gz", "w:bz2", "w:xz"]
TAR_MODES: dict[str, TarMode] = {
    ".tar": "w",
    ".tar.gz": "w:gz",
    ".tgz": "w:gz",
    ".tar.bz2": "w:bz2",
    ".tar.xz": "w:xz",
}
Member = tuple[tarfile.TarInfo, bytes]


def zipped(path: Path, files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    """A zip of these files."""
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def tarred(path: Path, files: dict[str, bytes], mode: TarMode = "w") -> Path:
    """A tar of these files."""
    return tar_of(path, [member(name, content) for name, content in files.items()], mode)


def member(
    name: str, content: bytes = b"", kind: bytes = tarfile.REGTYPE, link: str = "", mode: int = 0o644
) -> Member:
    """A tar member with its content."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode, info.size = kind, link, mode, len(content)
    return info, content


def tar_of(path: Path, members: list[Member], mode: TarMode = "w") -> Path:
    """A tar of any members."""
    with tarfile.open(path, mode) as archive:
        for info, content in members:
            archive.addfile(info, io.BytesIO(content))
    return path


def contents(folder: Path) -> dict[str, bytes]:
    """The files below a folder."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def refused(archive: Path, *, kind: type[FetchError] = UnsafeArchiveError, match: str = ".") -> None:
    """Asserts that an archive is refused by name and leaves nothing behind."""
    beside = set(os.listdir(archive.parent))
    with pytest.raises(kind, match=match) as e:
        unpack(archive, archive.parent / "out")
    assert archive.name in str(e.value)
    assert set(os.listdir(archive.parent)) == beside
