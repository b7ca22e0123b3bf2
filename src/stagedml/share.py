"""Taking a realization from another store on this machine, without copying its bytes where links can do."""

from __future__ import annotations

import errno
import os
import shutil

from stagedml.disk import MTIME, remove_tree
from stagedml.refs import DRef
from stagedml.store import Context, Record, Store


def take(store: Store, source: Store, dref: DRef, context: Context) -> list[Record]:
    """Brings the whole realizations of `dref` in this context from `source`; returns what is new here."""
    here = {r.rref for r in store.records(dref)}
    found = [r for r in source.records(dref) if r.context == context and r.rref not in here]
    taken = []
    for record in found:
        if source.problems(record):
            continue
        store.write_config(dref, source.config(dref))
        prepared = store.new_tmp()
        shutil.copytree(record.folder, prepared, symlinks=True, copy_function=_link, dirs_exist_ok=True)
        _restore_times(prepared)
        target = f"{store.path}/drv/{dref.folder}/{record.rref.digest}"
        try:
            os.chmod(prepared, 0o755)
            os.rename(prepared, target)
        except OSError as e:
            remove_tree(prepared)
            if e.errno not in (errno.EEXIST, errno.ENOTEMPTY):  # another process was first
                raise
        taken.append(record)
    return taken


def _link(source: str, target: str) -> str:
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:  # another file system, or one without links
        shutil.copy2(source, target, follow_symlinks=False)
    return target


def _restore_times(prepared: str) -> None:
    """Folders got new times when they were filled."""
    for folder, _, _ in os.walk(f"{prepared}/out", topdown=False):
        os.chmod(folder, 0o555)
        os.utime(folder, (MTIME, MTIME))
