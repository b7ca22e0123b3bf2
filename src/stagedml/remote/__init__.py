"""Remote stores: pushing realizations to any fsspec URL, pulling them back, and building less because of it.

The problem. Results are to travel between machines, through places that know nothing of stores (a bucket, a
folder on a server), that may be read while they are written, and that may be damaged or worse.

Rejected. A store on the remote as it lies on disk: object stores have no rename of a folder, so nothing could
appear there at once. One archive a realization: two trainings that share a data set would hold it twice, and
a push that was killed would begin again.

The choice. Contents lie under their own digests and are sent first, dependencies before what was built from
them; the record is sent last. A reader that finds a record finds all of it, whenever the writer was killed,
and what was sent already is not sent again. On the way back nothing is believed: the reference proves the
record, the record the files; only then a rename publishes. `docs/remote.md` has the layout.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from stagedml.disk import read_bytes, remove_tree, seal
from stagedml.errors import (
    ConfigError,
    CorruptError,
    MissingError,
    RemoteError,
    StoreError,
    StoreFormatError,
)
from stagedml.execute import DURABLE_S, remove_dead_tmp, task_key
from stagedml.hashing import FileEntry, canonical, entry_problem, hash_file
from stagedml.leases import hold, sweep
from stagedml.record import Context
from stagedml.refs import DRef, RRef, is_dref, is_rref
from stagedml.remote.entry import (
    AGAIN,
    Beside,
    Entry,
    environment_of,
    note_is_true,
    note_names,
    pack,
    undeclared,
    unpack,
    unpack_config,
)
from stagedml.remote.files import RemoteFiles
from stagedml.remote.staging import blob, bring_beside, stage
from stagedml.running import announce
from stagedml.share import Offers, damage_of, place
from stagedml.store import Store

FORMAT = 1
_MARKER = "remote.json"
_FOLDERS = {_MARKER, "blobs", "drv", "tmp"}


class Moved(NamedTuple):
    """One realization that was pushed or pulled: bytes that went over the line, 0 when it was there."""

    rref: RRef
    bytes: int
    was_there: bool


class Remote:
    """A remote store. Raises `RemoteError` when it cannot be used, `StoreFormatError` for another format."""

    def __init__(self, url: str) -> None:
        self.files = RemoteFiles(url)
        self.name = self.files.name
        self._format_seen = False

    # looking

    def check_format(self) -> None:
        """Raises unless there is a remote store of this format."""
        if self._format_seen:
            return
        marker = self.files.read(_MARKER)
        if marker is None:
            raise RemoteError(
                "no remote store there", where=self.name, hint="`stagedml push ... --to URL` makes one"
            )
        if marker != canonical({"remote": FORMAT}):
            raise StoreFormatError(
                f"{_MARKER} says {marker[:40]!r}; this stagedml knows format {FORMAT}",
                where=self.name,
                hint="use the stagedml that made it, or another remote store",
            )
        self._format_seen = True

    def entry(self, rref: RRef) -> Entry:
        """What is recorded of a realization. Raises `MissingError`, `CorruptError`."""
        self.check_format()
        path = _entry_path(rref)
        data = self.files.read(path)
        if data is None:
            raise MissingError(f"no realization {rref}", where=self.name, hint="push it there first")
        return unpack(data, rref, self.files.where(path))

    def rrefs(self, dref: DRef) -> list[RRef]:
        """The realizations of a derivation."""
        self.check_format()
        names = self.files.names(f"drv/{dref.folder}")
        found = (f"rref:{n.removesuffix('.record')}-{dref.folder}" for n in names if n.endswith(".record"))
        return [RRef(r) for r in found if is_rref(r)]

    def offers(self, dref: DRef, context: Context) -> Offers:
        """The realizations of a derivation in a context; the newest last."""
        damaged: list[CorruptError] = []

        def look(rref: RRef) -> Entry | None:
            try:
                return self.entry(rref)
            except CorruptError as e:
                damaged.append(e)
            except MissingError:
                pass  # removed meanwhile
            return None

        entries = self.files.each(look, self.rrefs(dref))
        records = [e.record for e in entries if e is not None and e.record.context == context]
        return Offers(sorted(records, key=lambda r: (r.published, r.rref)), damaged)

    def resolve(self, text: str) -> RRef:
        """The realization that a user means: a reference, a derivation's, a name, or a part of a digest.

        Raises `MissingError`, `ConfigError`.
        """
        if is_rref(text):
            return RRef(text)
        self.check_format()
        names = [text[5:]] if is_dref(text) else self.files.names("drv")
        drefs = [DRef(f"dref:{n}") for n in names if is_dref(f"dref:{n}")]
        named = [d for d in drefs if text in (d, d.name)]
        part = text.removeprefix("rref:").split("-", 1)[0].lower()
        found = [r for d in (named or drefs) for r in self.rrefs(d) if named or r[5:].startswith(part)]
        if not found or not text:
            raise MissingError(f"no realization {text!r}", where=self.name, hint="give its whole reference")
        if not named and len(found) > 1:
            raise ConfigError(f"{text!r} means {len(found)} realizations", hint="give more digits")
        return max(found, key=lambda r: self.entry(r).record.published) if len(found) > 1 else found[0]

    # bringing

    def take(self, store: Store, rref: RRef) -> None:
        """Publishes one realization in a local store, every byte checked, without what it was built from.

        Raises `CorruptError`, `MissingError`, `RemoteError`; then nothing was published."""
        self._take(store, self.entry(rref))

    def _take(self, store: Store, entry: Entry) -> int:
        begun = time.monotonic()
        rref = entry.record.rref
        path = f"drv/{rref.dref.folder}/config.json"
        data = self.files.read(path)
        if data is None:
            raise CorruptError("is missing", where=self.files.where(path), hint=AGAIN)
        config = unpack_config(data, rref.dref, self.files.where(path))
        for name in undeclared(config, entry.record):
            raise CorruptError(f"{name!r} was added", where=entry.record.folder, hint=AGAIN)
        prepared = store.new_tmp()
        try:
            size = stage(self.files, entry, prepared)
            bring_beside(self.files, store, entry, prepared)
            seal(prepared, entry.manifest, durable=time.monotonic() - begun > DURABLE_S)
            store.write_config(rref.dref, config)
            place(store, prepared, rref)
        except OSError as e:
            raise StoreError(
                f"{rref.name} cannot be written: {e.strerror or e}",
                where=str(e.filename or store.path),
                hint="check the space left and the permissions, then run again",
            ) from e
        finally:
            remove_tree(prepared)
        return size

    # sending

    def prepare(self) -> None:
        """Makes a remote store where there is none, and tidies up after dead pushers.

        Raises `RemoteError` when something else is there.
        """
        if self.files.read(_MARKER) is None:
            others = set(self.files.names("")) - _FOLDERS
            if others:
                raise RemoteError(
                    f"something else is there: {', '.join(sorted(others)[:3])}",
                    where=self.name,
                    hint="give a folder of its own",
                )
            self.files.send(canonical({"remote": FORMAT}), _MARKER)
        self.check_format()
        self.files.sweep()

    def send(self, store: Store, rref: RRef, *, check: bool = False) -> Moved:
        """Sends one realization, its record last. Raises `CorruptError` when it is damaged here.

        A record that is there means that all of it is there, unless `check` reads it back to see, and sends
        again what is damaged.
        """
        entry_path = _entry_path(rref)
        there = self.files.read(entry_path)
        if there is not None and not check and _is_whole(there, rref):
            return Moved(rref, 0, True)
        record = store.record(rref)
        raw = read_bytes(f"{record.folder}/context.json")
        contents: dict[str, tuple[str, FileEntry]] = {}
        for part in (record.files, record.volatile):
            for name, entry in part.items():
                if entry[2] != "d":
                    contents.setdefault(str(entry[1]), (f"{record.out}/{name}", entry))
        beside: Beside = {}
        for name, path in _beside(store, record.folder, Entry(record, raw, {})):
            about: FileEntry = [os.path.getsize(path), hash_file(path), "f"]
            beside[name] = about[:2]
            contents.setdefault(str(about[1]), (path, about))
        scratch = store.new_tmp() if check else ""
        try:
            size = sum(self.files.each(lambda c: self._send_content(*c, scratch), contents.values()))
        finally:
            if scratch:
                remove_tree(scratch)
        small = {f"drv/{rref.dref.folder}/config.json": store.config(rref.dref).bytes}
        small[entry_path] = pack(raw, beside)  # last
        changed = [path for path, data in small.items() if self.files.read(path) != data]
        for path in changed:
            self.files.send(small[path], path)
        return Moved(rref, size, not size and not changed)

    def _send_content(self, path: str, entry: FileEntry, scratch: str) -> int:
        target = blob(str(entry[1]))
        is_link = entry[2] == "l"
        data = os.fsencode(os.readlink(path)) if is_link else b""
        if self.files.size(target) == (len(data) if is_link else entry[0]):
            copy = f"{scratch}/{entry[1]}"
            if not scratch or (self.files.fetch(target, copy) and hash_file(copy) == entry[1]):
                return 0
        problem = entry_problem(path, entry)
        if problem:
            raise CorruptError(f"it {problem}", where=path, hint="run `stagedml verify`")
        self.files.send(data if is_link else path, target)
        return len(data) if is_link else int(entry[0])


def push(remote: Remote, store: Store, rrefs: Iterable[str], *, check: bool = False) -> Iterator[Moved]:
    """Sends realizations with everything that they were built from, dependencies first.

    Yields each as it is done. Killed at any time, it can be run again and goes on. With `check` what is there
    is read back, and sent again where it is damaged. Raises `MissingError` when a part is not here,
    `CorruptError` when it is damaged here, `RemoteError`.
    """
    order = _closure(store, rrefs)
    announce(store, {r.dref for r in order})
    remote.prepare()
    for rref in order:
        yield remote.send(store, rref, check=check)


def pull(remote: Remote, store: Store, rref: str) -> Iterator[Moved]:
    """Brings a realization with everything that it was built from, dependencies first; yields each.

    What is here and whole stays, what is damaged here is put aside. Raises `MissingError`, `CorruptError`,
    `RemoteError`; then what was not yielded was not published.
    """
    entries: dict[RRef, Entry] = {}
    todo = [RRef(rref)]
    while todo:
        here = todo.pop()
        if here not in entries:
            entries[here] = remote.entry(here)
            todo += _context(entries[here].record.context)
    announce(store, {r.dref for r in entries})
    remove_dead_tmp(store)
    sweep(store)
    for one in _order([RRef(rref)], {r: _context(e.record.context) for r, e in entries.items()}):
        record = entries[one].record
        with hold(store, task_key(one.dref, record.context, record.instance)):
            if heal(store, one):
                yield Moved(one, 0, True)
            else:
                yield Moved(one, remote._take(store, entries[one]), False)


def heal(store: Store, rref: RRef) -> bool:
    """Whether a realization is here and whole; a damaged one goes to quarantine."""
    try:
        damage = damage_of(store, rref)
    except MissingError:
        return False
    if damage:
        store.quarantine(f"{store.path}/drv/{rref.dref.folder}/{rref.digest}", damage)
    return not damage


def _entry_path(rref: RRef) -> str:
    return f"drv/{rref.dref.folder}/{rref.digest}.record"


def _is_whole(data: bytes, rref: RRef) -> bool:
    try:
        unpack(data, rref, "")
    except CorruptError:
        return False  # it will be written again
    return True


def _beside(store: Store, folder: str, entry: Entry) -> Iterator[tuple[str, str]]:
    """(name, path) of what lies beside the artifacts and is worth sending."""
    if os.path.exists(f"{folder}/log.txt"):
        yield "log.txt", f"{folder}/log.txt"
    for name, digest in note_names(entry.record, environment_of(entry.raw)).items():
        path = f"{store.path}/notes/{name}"
        if os.path.exists(path) and note_is_true(name, digest, read_bytes(path)):
            yield name, path


def _context(context: Context) -> list[RRef]:
    return [RRef(r) for rrefs in context.values() for r in rrefs]


def _closure(store: Store, rrefs: Iterable[str]) -> list[RRef]:
    """Realizations with all that they were built from, dependencies first. Raises `MissingError`."""
    starts = [RRef(r) for r in rrefs]
    below: dict[RRef, list[RRef]] = {}
    todo = list(starts)
    while todo:
        here = todo.pop()
        if here not in below:
            below[here] = _context(store.record(here).context)
            todo += below[here]
    return _order(starts, below)


def _order(starts: list[RRef], below: dict[RRef, list[RRef]]) -> list[RRef]:
    """Everything that is reached from some realizations, each after what is below it."""
    done: dict[RRef, None] = {}
    stack = [(r, False) for r in reversed(starts)]
    while stack:
        here, seen = stack.pop()
        if seen:
            done[here] = None
        elif here not in done:
            stack.append((here, True))
            stack += [(r, False) for r in below[here] if r not in done]
    return list(done)
