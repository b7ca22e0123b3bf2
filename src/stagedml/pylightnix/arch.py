"""Moving realizations between storages, directly or in an archive."""

from __future__ import annotations

import os
import pathlib
import shutil
import tarfile
from collections.abc import Iterable
from tempfile import TemporaryDirectory

from stagedml.disk import remove_tree, seal
from stagedml.fetch.unpack import unpack
from stagedml.pylightnix.reading import rootrrefs, rrefctx
from stagedml.pylightnix.storage import S_, mkSS, store_of
from stagedml.pylightnix.types import DRef, Path, RRef, StorageSettings, UsageError
from stagedml.store import Store


def deref_(ctxr: RRef, dref: DRef, S: S_) -> list[RRef]:
    """The realizations of `dref` that `ctxr` was built from, or `ctxr` itself."""
    return [ctxr] if RRef(ctxr).dref == dref else rrefctx(ctxr, S)[dref]


def copyclosure(rrefs_S: Iterable[RRef], S: StorageSettings, D: S_ = None) -> None:  # noqa: N803
    """Copies realizations, with all that they were built from, from one storage to another.

    Everything is hashed before it is taken in; what differs from its record raises `UsageError`.
    """
    source, target = store_of(S), store_of(D)
    wanted: dict[RRef, None] = {}
    for rref in rrefs_S:
        wanted.update(dict.fromkeys(x for found in rrefctx(rref, S).values() for x in found))
        wanted[RRef(rref)] = None
    for rref in wanted:
        _copy(source, target, rref)


def _copy(source: Store, target: Store, rref: RRef) -> None:
    record = source.record(rref)
    problems = source.problems(record, deep=True)
    if problems:
        raise UsageError(f"{rref} is damaged: {problems[0]}", where=source.path)
    folder = f"{target.path}/drv/{rref.dref.folder}/{rref.digest}"
    if os.path.isdir(folder):
        return
    target.write_config(rref.dref, source.config(rref.dref))
    prepared = target.new_tmp()
    shutil.copytree(record.folder, prepared, symlinks=True, dirs_exist_ok=True)
    seal(prepared, {**record.files, **record.volatile})
    try:
        os.rename(prepared, folder)
    except OSError:
        remove_tree(prepared)
        if not os.path.isdir(folder):  # else another process brought it in the meantime
            raise


def spack(roots: list[RRef], out: str, S: S_ = None) -> None:
    """Writes realizations, with all that they were built from, to an archive: .tar, .tar.gz, .tar.xz."""
    suffix = out.rsplit(".", 1)[-1]
    mode = {"tar": "w:", "gz": "w:gz", "tgz": "w:gz", "xz": "w:xz", "bz2": "w:bz2"}.get(suffix)
    if mode is None:
        raise UsageError(f"no archive of this kind: .{suffix}", where=out, hint=".tar, .tar.gz, .tar.xz")
    with TemporaryDirectory(dir=os.path.dirname(os.path.abspath(out))) as folder:
        D = mkSS(folder, f"{folder}/storage", f"{folder}/tmp")
        copyclosure(roots, store_settings(S), D)
        with tarfile.open(f"{folder}/packed", mode) as archive:  # type: ignore[call-overload]
            for name in ("format.json", "drv"):
                archive.add(f"{folder}/storage/{name}", name)
        os.replace(f"{folder}/packed", out)
        remove_tree(f"{folder}/storage")


def sunpack(archive: str, S: S_ = None) -> None:
    """Takes in what `spack` packed; everything is verified."""
    with TemporaryDirectory(dir=store_of(S).dir("tmp")) as folder:
        unpack(pathlib.Path(archive), pathlib.Path(f"{folder}/storage"))
        source = mkSS(folder, f"{folder}/storage", f"{folder}/tmp")
        copyclosure(rootrrefs(source), source, S)
        remove_tree(f"{folder}/storage")


def store_settings(S: S_) -> StorageSettings:
    """Settings that name the storage in use."""
    return StorageSettings(None, Path(store_of(S).path), None)
