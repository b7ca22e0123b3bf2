"""Taking realizations from where they are, instead of building them: the interface, and its local kind.

An upstream is another store. One on this machine is linked from, without copying bytes where links can do; a
remote one (`stagedml.remote`) is read over the network. Both only answer two questions: which realizations of
this derivation in this context are there, and bring me this one.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from typing import NamedTuple, Protocol

from stagedml.disk import MTIME, remove_tree
from stagedml.errors import ConfigError, CorruptError
from stagedml.record import Context, Record
from stagedml.refs import DRef, RRef
from stagedml.store import Store


class Offers(NamedTuple):
    """What an upstream has of a derivation in a context, and what it has that is damaged."""

    records: list[Record]
    damaged: list[CorruptError]


class Upstream(Protocol):
    """A store whose realizations are taken instead of being built again."""

    @property
    def name(self) -> str:
        """How messages call it."""

    def offers(self, dref: DRef, context: Context) -> Offers:
        """What could be taken. Raises `RemoteError` when it cannot be reached."""

    def take(self, store: Store, rref: RRef) -> None:
        """Publishes a realization in `store`, verified. Raises `CorruptError`, `MissingError`, `RemoteError`;
        then nothing was published."""


class LocalUpstream:
    """Another store on this machine."""

    def __init__(self, source: Store) -> None:
        self._source = source
        self.name = source.path

    def offers(self, dref: DRef, context: Context) -> Offers:
        records, damaged = self._source.look(dref)
        found = [r for r in records if r.context == context and not self._source.problems(r)]
        return Offers(found, [CorruptError(what, where=folder) for folder, what in damaged])

    def take(self, store: Store, rref: RRef) -> None:
        import shutil  # late, as in `disk.remove_tree`

        record = self._source.record(rref)
        store.write_config(rref.dref, self._source.config(rref.dref))
        prepared = store.new_tmp()
        shutil.copytree(record.folder, prepared, symlinks=True, copy_function=_link, dirs_exist_ok=True)
        _restore_times(prepared)
        os.chmod(prepared, 0o755)
        place(store, prepared, rref)


_opener: list[Callable[[str], Upstream]] = []


def open_remotes_with(opener: Callable[[str], Upstream]) -> None:
    """Says how the address of a remote store becomes an upstream; called once, where the parts are joined."""
    _opener[:] = [opener]


def upstreams_of(store: Store, remote: str | None = None) -> list[Upstream]:
    """What a run takes from: the store's own upstreams, then the remote store at `remote`.

    None means `$STAGEDML_REMOTE`, an empty text no remote store.
    """
    url = os.environ.get("STAGEDML_REMOTE", "") if remote is None else remote
    if not url:
        return list(store.upstreams)
    if not _opener:
        raise ConfigError("nothing here opens remote stores", where=url, hint="import stagedml first")
    return [*store.upstreams, _opener[0](url)]


def place(store: Store, prepared: str, rref: RRef) -> None:
    """Renames a sealed copy of a published realization into place; what is there and whole is kept."""
    target = f"{store.path}/drv/{rref.dref.folder}/{rref.digest}"
    try:
        os.rename(prepared, target)
    except OSError as e:
        if e.errno not in (errno.EEXIST, errno.ENOTEMPTY):
            raise
        damage = damage_of(store, rref)
        if damage:  # else another process was first
            store.quarantine(target, damage)
            os.rename(prepared, target)
        else:
            remove_tree(prepared)


def damage_of(store: Store, rref: RRef) -> str:
    """What is wrong with a realization that is there; empty when nothing is. Raises `MissingError`."""
    try:
        return "; ".join(store.problems(store.record(rref)))
    except CorruptError as e:
        return e.what


def _link(source: str, target: str) -> str:
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:  # another file system, or one without links
        import shutil

        shutil.copy2(source, target, follow_symlinks=False)
    return target


def _restore_times(prepared: str) -> None:
    """Folders got new times when they were filled."""
    for folder, _, _ in os.walk(f"{prepared}/out", topdown=False):
        os.chmod(folder, 0o555)
        os.utime(folder, (MTIME, MTIME))
