"""The second form of fetching: downloading and unpacking as two stages."""

from __future__ import annotations

import os
import pathlib
from typing import Any

from stagedml.pylightnix.build import build_outpath, build_wrapper
from stagedml.pylightnix.lens import mklens
from stagedml.pylightnix.matchers import match_only
from stagedml.pylightnix.realizing import mkdrv
from stagedml.pylightnix.stages.fetch import checksum, fetch, file_name, given, unpack_beside
from stagedml.pylightnix.storage import mkconfig
from stagedml.pylightnix.types import Build, DRef, RefPath, Registry, UsageError
from stagedml.pylightnix.utils import filehash, selfref


def fetchurl2(
    url: str,
    sha256: str | None = None,
    sha1: str | None = None,
    name: str | None = None,
    filename: str | None = None,
    force_download: bool = False,
    r: Registry | None = None,
    **kwargs: Any,
) -> DRef:
    """Downloads a file, the field `out`. The URL is no part of the config: the checksum says it all.

    A path of this machine may stand for the URL; its checksum is then computed.
    """
    file = file_name(url, filename)
    if sha256 is None and sha1 is None and os.path.isfile(url):
        sha256 = filehash(url)
        url = pathlib.Path(url).absolute().as_uri()
    wanted = checksum(sha256 if sha256 is not None or sha1 is None else None, None if sha256 else sha1)
    config = {"name": name or "fetchurl2", **given(sha256, sha1), "out": [selfref, file], **kwargs}

    def make(b: Build) -> None:
        fetch(b, url, file, wanted, mode="", anew=force_download)

    return mkdrv(mkconfig(config), match_only(), build_wrapper(make), r)


def unpack(
    path: str | None = None,
    refpath: RefPath | None = None,
    name: str | None = None,
    sha256: str | None = None,
    sha1: str | None = None,
    aunpack_args: list[str] | None = None,
    r: Registry | None = None,
    **kwargs: Any,
) -> DRef:
    """Unpacks an archive: a path, or an artifact of another stage. `aunpack_args` do nothing but identify."""
    if (path is None) == (refpath is None):
        raise UsageError("unpack wants a path or a refpath", hint="give one of them")
    config = {
        "name": name or "unpack",
        "path": path,
        "refpath": refpath,
        "aunpack_args": aunpack_args or [],
        **given(sha256, sha1),
        **kwargs,
    }

    def make(b: Build) -> None:
        archive = path if path is not None else mklens(b).get("refpath").syspath
        unpack_beside(pathlib.Path(archive), pathlib.Path(build_outpath(b)))

    return mkdrv(mkconfig(config), match_only(), build_wrapper(make), r)
