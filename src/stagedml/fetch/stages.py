"""The stages that bring data in: `fetchurl` from the network, `fetchlocal` from this machine.

    fetchurl(m, url="https://dl.fbaipublicfiles.com/glue/data/CoLA.zip", sha256="f212fcd8...")
    fetchlocal(m, path="~/corpus/notes.txt", mode="asis")

What identifies a download is its URL, the checksum and what is done with it; what identifies a local file or
folder is its content. Where the bytes come from on this machine (a mirror, a path) is not part of a config.

Both have the field `out`: the file itself for `mode="asis"`, a folder with what was in the archive for
`mode="unpack"`. A realization also holds `fetch-record.json`, outside of its digest: the address that was
really used, the size and the sha256 that was seen.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import unquote, urlsplit

from stagedml.build import Build
from stagedml.config import check_parts, promise
from stagedml.errors import ChecksumError, ConfigError, FetchError
from stagedml.fetch.checksum import Checksum, digests_of
from stagedml.fetch.localfiles import content_sum, copy_file, copy_tree
from stagedml.fetch.mirror import Mirror, Source, check_url, read_mirror
from stagedml.refs import DRef
from stagedml.stage import Manager
from stagedml.stagefunction import hint, stage

Seen = dict[str, object]
MIRROR_VARIABLE = "STAGEDML_MIRROR"
RECORD = "fetch-record.json"
UNPACKED = "unpacked"
TREE = "tree:"  # before the digest of a folder; a file has sha256:
ASIS, UNPACK = "asis", "unpack"
MODES = {"asis": ASIS, "unpack": UNPACK, "unpack,remove": UNPACK}  # the last is the older spelling


def fetchurl(
    m: Manager,
    url: str,
    *,
    sha256: str | None = None,
    sha1: str | None = None,
    md5: str | None = None,
    size: int | None = None,
    mode: str = UNPACK,
    name: str | None = None,
    filename: str | None = None,
) -> DRef:
    """Downloads a file; by default unpacks it (zip, tar, gz, bz2, xz). Fields: `url`, `out`, `checksum`.

    Without a checksum the file is taken as it comes and its sha256 is recorded. `size` is the expected length
    in bytes. `filename` replaces the last part of the URL. Raises `ConfigError`; when built, `ChecksumError`
    for another content than expected, `FetchError` when there is none to be had.
    """
    check_url(url)
    filename = _filename(filename or unquote(urlsplit(url).path.rsplit("/", 1)[-1]), url)
    mode = _mode(mode, url)
    return fetch_url(
        m,
        name=name or _stage_name(filename),
        url=url,
        filename=filename,
        mode=mode,
        checksum=_checksum(url, sha256=sha256, sha1=sha1, md5=md5),
        size=size,
        out=promise(UNPACKED if mode == UNPACK else filename),
    )


def fetchlocal(
    m: Manager,
    path: str | os.PathLike[str],
    *,
    sha256: str | None = None,
    mode: str = UNPACK,
    name: str | None = None,
    filename: str | None = None,
) -> DRef:
    """Brings in a local file or folder. Fields: `content`, `filename`, `out`.

    Its content is read and hashed here, when the stage is instantiated, so that a change is noticed; where a
    file's `sha256` is given, that is believed until it is copied, and the file may even be gone once it is in
    the store. A folder is copied whatever the mode. Raises `ConfigError`, `DataError`; when built,
    `ChecksumError` when the content changed in between.
    """
    place = Path(path).expanduser().absolute()
    filename = _filename(filename or place.name, str(place))
    mode = _mode(mode, str(place))
    if sha256 is not None and not place.is_dir():
        content = str(Checksum("sha256", sha256))
    elif place.exists():
        content = f"{TREE if place.is_dir() else 'sha256:'}{content_sum(place)}"
        mode = ASIS if place.is_dir() else mode
    else:
        raise ConfigError("no such file or folder", where=str(place), hint="fetchurl takes URLs")
    return fetch_local(
        m,
        name=name or _stage_name(filename),
        content=content,
        filename=filename,
        mode=mode,
        out=promise(UNPACKED if mode == UNPACK else filename),
        path=str(place),
    )


def mirror_from_environment() -> Mirror:
    """The mirror that `$STAGEDML_MIRROR` names; one that maps nothing when it is not set."""
    file = os.environ.get(MIRROR_VARIABLE)
    return read_mirror(Path(file).expanduser()) if file else Mirror()


@stage(name="fetchurl")
def fetch_url(
    b: Build,
    url: str,
    filename: str,
    mode: str,
    checksum: str | None,
    size: int | None,
    out: Path,
    record: Path = promise(RECORD, volatile=True),
) -> None:
    """The realizer of `fetchurl`."""
    wish = _Wish(out, filename, mode, Checksum.parse(checksum) if checksum else None, size)
    source = mirror_from_environment().resolve(url)
    if source.via:
        print(f"{url} comes from {source.location}, by the mapping {source.via}")
    try:
        if source.path is None:
            seen = _take_remote(b, source.remote, wish)
        elif source.path.is_dir():
            seen = _take_unpacked(b, source, source.path, wish)
        else:
            seen = _take_file(b, source.path, wish)
    except FetchError as e:
        if not source.via or source.via in e.hint:
            raise
        via = f"the mapping {source.via} applied"
        raise type(e)(e.what, where=e.where, hint=f"{e.hint}; {via}" if e.hint else via) from e
    record.write_text(json.dumps({"url": url, "source": source.location, **seen}, indent=1) + "\n")


@stage(name="fetchlocal")
def fetch_local(
    b: Build,
    content: str,
    filename: str,
    mode: str,
    out: Path,
    record: Path = promise(RECORD, volatile=True),
    path: str | None = hint(None),
) -> None:
    """The realizer of `fetchlocal`."""
    place = Path(path or "")
    if path is None or not place.exists():
        raise FetchError(
            "the file or folder is gone", where=str(path), hint="put it back, or say where it is"
        )
    if content.startswith(TREE):
        seen = _take_folder(b, place, out)
        if (got := content_sum(out)) != content.removeprefix(TREE):
            raise ChecksumError(
                f"the folder changed after its stage was instantiated: expected {content}, got {TREE}{got}",
                where=str(place),
                hint="run again, and leave it alone meanwhile",
            )
    else:
        seen = _take_file(b, place, _Wish(out, filename, mode, Checksum.parse(content), None))
    record.write_text(json.dumps({"path": str(place), **seen}, indent=1) + "\n")


@dataclass(frozen=True)
class _Wish:
    """What is to become of the bytes."""

    out: Path
    filename: str
    mode: str
    checksum: Checksum | None
    size: int | None


def _take_remote(b: Build, url: str, wish: _Wish) -> Seen:
    """Downloads to scratch, which a kill leaves as it is, and moves or unpacks it from there."""
    from stagedml.fetch.download import download

    here = b.scratch / "download"
    resumed_at = 0
    if not here.exists():  # else an earlier run was killed between the download and the publishing
        bar = partial(b.progress, unit="B", desc=wish.filename)
        got = download(url, here, checksum=wish.checksum, size=wish.size, progress=bar)
        resumed_at = got.resumed_at
        if resumed_at:
            b.resumed(f"byte {resumed_at:,}")
    seen = _take_file(b, here, wish, where=url, move=True)
    here.unlink(missing_ok=True)
    return {**seen, "resumed_at": resumed_at}


def _take_file(b: Build, file: Path, wish: _Wish, *, where: str = "", move: bool = False) -> Seen:
    """Checks a local file, and unpacks, moves or copies it to where it is wanted."""
    where = where or str(file)
    if wish.mode == ASIS and not move:
        copy_file(file, wish.out)
        file = wish.out  # what is checked is what is kept
    digests = digests_of(file, wish.checksum)
    length = file.stat().st_size
    if wish.checksum is not None and digests.asked != wish.checksum.hexdigest:
        if move:
            file.unlink()  # left by an earlier run, and damaged since
        raise wish.checksum.mismatch(digests.asked, where)
    if wish.size not in (None, length):
        raise FetchError(f"wrong length: expected {wish.size:,} bytes, got {length:,}", where=where)
    if wish.mode == UNPACK:
        from stagedml.fetch.unpack import unpack

        with b.progress(length, unit="B", desc=f"unpack {wish.filename}") as bar:
            unpack(file, wish.out, name=wish.filename, progress=bar)
    elif move:
        os.replace(file, wish.out)
    print(f"{where}: {length:,} bytes, sha256 {digests.sha256}")
    return {"bytes": length, "sha256": digests.sha256}


def _take_unpacked(b: Build, source: Source, folder: Path, wish: _Wish) -> Seen:
    """Copies a mirror's folder, which stands for the unpacked archive."""
    if wish.mode != UNPACK:
        raise FetchError(f"wanted as one file, but {folder} is a folder", where=source.url)
    if wish.checksum is not None:
        print(f"not checked: {folder} stands for an archive whose {wish.checksum} cannot be compared with it")
    target = wish.out / source.subfolder
    target.parent.mkdir(parents=True, exist_ok=True)
    return _take_folder(b, folder, target)


def _take_folder(b: Build, folder: Path, target: Path) -> Seen:
    with b.progress(unit="B", desc=folder.name) as bar:
        files, length = copy_tree(folder, target, on_bytes=bar.update)
    print(f"{folder}: {files:,} files, {length:,} bytes")
    return {"files": files, "bytes": length}


def _filename(filename: str, where: str) -> str:
    if not filename:
        raise ConfigError("no file name can be told from it", where=where, hint="give filename=")
    check_parts([filename], where)
    if filename in (RECORD, UNPACKED):
        raise ConfigError(f"the file name {filename!r} is taken", where=where, hint="give another filename=")
    return filename


def _mode(mode: str, where: str) -> str:
    if mode not in MODES:
        raise ConfigError(f"no mode {mode!r}", where=where, hint="modes: 'unpack', 'asis'")
    return MODES[mode]


def _stage_name(filename: str) -> str:
    """A name for people to recognise: `fetch-CoLA` for CoLA.zip."""
    stem = re.sub(r"\.(zip|tar|tgz|txz|tbz2?|gz|bz2|xz)\b.*$", "", filename)
    return "fetch-" + (re.sub(r"[^A-Za-z0-9._+-]+", "-", stem).strip("-.")[:80] or "data")


def _checksum(where: str, **given: str | None) -> str | None:
    """The one checksum that was given, as a config says it. Raises `ConfigError`."""
    known = [Checksum(algorithm, digest) for algorithm, digest in given.items() if digest is not None]
    if len(known) > 1:
        raise ConfigError("more than one checksum", where=where, hint="give the strongest: sha256, sha1, md5")
    return str(known[0]) if known else None
