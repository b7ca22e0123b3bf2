"""Files from the network or this machine, checked and by default unpacked.

The programs `wget`, `curl` and `aunpack` are not needed: downloads resume, mirrors apply and archives are
unpacked safely, as in `stagedml.fetch`.
"""

from __future__ import annotations

import os
import pathlib
from hashlib import sha256 as sha256_of
from typing import Any
from urllib.parse import urlsplit

from stagedml.fetch.checksum import Checksum, digests_of
from stagedml.fetch.localfiles import copy_file, copy_tree
from stagedml.fetch.mirror import Source
from stagedml.fetch.stages import mirror_from_environment
from stagedml.fetch.unpack import SUFFIXES, unpack
from stagedml.pylightnix.build import build_outpath, build_wrapper
from stagedml.pylightnix.matchers import match_only
from stagedml.pylightnix.realizing import mkdrv
from stagedml.pylightnix.storage import fstmpdir, mkconfig
from stagedml.pylightnix.types import Build, DRef, Registry, UsageError
from stagedml.pylightnix.utils import selfref

MODE = "unpack,remove"


def fetchurl(
    url: str,
    sha256: str | None = None,
    sha1: str | None = None,
    mode: str = MODE,
    name: str | None = None,
    filename: str | None = None,
    force_download: bool = False,
    check_promises: bool = True,
    r: Registry | None = None,
    **kwargs: Any,
) -> DRef:
    """Downloads a file. With "unpack" in the mode its content is the artifact, else the field `out_path`.

    One of `sha256` and `sha1` must be given. `force_download` starts anew instead of resuming; it and
    `check_promises` are no part of the config. Raises `FetchError`, `ChecksumError` when built.
    """
    file = file_name(url, filename)
    config = {**kwargs, "name": name or "fetchurl", "url": url, **given(sha256, sha1), "mode": mode}

    def make(b: Build) -> None:
        fetch(b, url, file, checksum(sha256, sha1), mode=mode, anew=force_download)

    checksum(sha256, sha1)
    return mkdrv(mkconfig(_with_output(config, file, mode)), match_only(), build_wrapper(make), r)


def fetchlocal(
    sha256: str,
    path: str | None = None,
    envname: str | None = None,
    mode: str = MODE,
    name: str | None = None,
    filename: str | None = None,
    check_promises: bool = True,
    r: Registry | None = None,
    **kwargs: Any,
) -> DRef:
    """Brings in a file from a path, or from the path in an environment variable; else as `fetchurl`."""
    if (path is None) == (envname is None):
        raise UsageError("fetchlocal wants a path or the name of a variable", hint="give one of them")
    source = path if path is not None else os.environ.get(str(envname), "")
    file = file_name(source, filename)
    place = {"path": path} if path is not None else {"envname": envname}
    config = {**kwargs, "name": name or "fetchlocal", **place, "sha256": sha256, "mode": mode}

    def make(b: Build) -> None:
        here = Source(source, path=pathlib.Path(source).absolute())
        take(b, here, file, Checksum("sha256", sha256), mode=mode, anew=True)

    return mkdrv(mkconfig(_with_output(config, file, mode)), match_only(), build_wrapper(make), r)


def fetch(b: Build, url: str, file: str, wanted: Checksum, *, mode: str, anew: bool) -> None:
    """Brings the file of a URL into a build's folder, from its mirror if it has one."""
    source = mirror_from_environment().resolve(url)
    if source.path is not None and source.path.is_dir() and "unpack" in mode:
        copy_tree(source.path, pathlib.Path(build_outpath(b), source.subfolder))
    else:
        take(b, source, file, wanted, mode=mode, anew=anew)


def take(b: Build, source: Source, file: str, wanted: Checksum, *, mode: str, anew: bool) -> None:
    """Brings in one file, checks it, and unpacks it if the mode says so."""
    folder = pathlib.Path(build_outpath(b))
    target = folder / file
    if source.path is not None:
        copy_file(source.path, target)
        digests = digests_of(target, wanted)
        if digests.asked != wanted.hexdigest:
            raise wanted.mismatch(digests.asked, str(source.path))
    else:
        from stagedml.fetch.download import download

        waiting = pathlib.Path(fstmpdir(b.S), "fetchurl")
        waiting.mkdir(parents=True, exist_ok=True)
        part = waiting / f"{sha256_of(source.remote.encode()).hexdigest()[:32]}.part"
        if anew:
            part.unlink(missing_ok=True)
        download(source.remote, target, checksum=wanted, part=part)
    if "unpack" in mode:
        unpack_beside(target)
        if "remove" in mode:
            target.unlink()


def unpack_beside(archive: pathlib.Path, folder: pathlib.Path | None = None) -> None:
    """Unpacks as `aunpack` does: several things at the top of an archive get a folder named after it."""
    folder = folder or archive.parent
    inside = folder / f".{archive.name}.unpacked"
    unpack(archive, inside)
    entries = list(inside.iterdir())
    suffix = next((s for s in SUFFIXES if archive.name.endswith(s)), archive.suffix)
    if len(entries) > 1:
        inside.rename(folder / (archive.name.removesuffix(suffix) or "unpacked"))
        return
    for entry in entries:
        entry.rename(folder / entry.name)
    inside.rmdir()


def checksum(sha256: str | None, sha1: str | None) -> Checksum:
    """The one checksum that was given. Raises `UsageError` for none or both."""
    if (sha256 is None) == (sha1 is None):
        raise UsageError("a URL needs a checksum", hint="give one of sha256 and sha1")
    return Checksum("sha256", sha256) if sha256 is not None else Checksum("sha1", str(sha1))


def given(sha256: str | None, sha1: str | None) -> dict[str, str]:
    """The checksums as fields of a config."""
    return {k: v for k, v in (("sha1", sha1), ("sha256", sha256)) if v is not None}


def file_name(place: str, filename: str | None) -> str:
    """The name of a file on the disk: the one given, or the last part of its URL or path."""
    found = filename or os.path.basename(urlsplit(place).path)
    if not found or "/" in found:
        raise UsageError(f"no file name can be told from {place!r}", hint="give filename=")
    return found


def _with_output(config: dict[str, Any], file: str, mode: str) -> dict[str, Any]:
    return config if "unpack" in mode else {**config, "out_path": [selfref, file]}
