"""The store: where derivations and realizations lie on disk.

    format.json                     {"format": 1}
    drv/<hex>-<name>/config.json    a derivation
    drv/<hex>-<name>/<hex>/         one realization of it, read-only:
        out/                            the artifacts
        context.json                    what it was built from, the manifest of `out`; how, when, where
        log.txt                         what it printed
    tmp/  scratch/                  builds in progress; what they keep for the case of a kill
    locks/  running/                who builds what; which runs are alive
    roots/                          links that protect realizations
    quarantine/  trash/  notes/     damaged things; things on their way out; what users noted

A realization is prepared under `tmp` and renamed into place: it is there whole or not at all. As in Nix,
published files are read-only and carry one fixed modification time, so that a look at size and time (no
read) shows whether anybody touched them; what looks touched is hashed again.
"""

from __future__ import annotations

import errno
import json
import os
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from stagedml.config import Config, config_dref
from stagedml.disk import file_stamp, read_bytes, remove_tree, seal, sync, write_atomic, write_new
from stagedml.errors import CorruptError, MissingError, StagedmlError, StoreError, StoreFormatError
from stagedml.hashing import FileEntry, canonical, hash_tree, parse_json, ref_digest
from stagedml.owner import unique_name
from stagedml.record import VERIFY, Context, Record, as_record, checked_record, problems
from stagedml.refs import DRef, RRef, mkrref

if TYPE_CHECKING:
    from stagedml.share import Upstream

FORMAT = 1
_FOLDERS = ("drv", "tmp", "scratch", "locks", "running", "roots", "quarantine", "trash", "notes")
_DIGEST = re.compile(r"[0-9a-f]{32}")


def default_path() -> str:
    """`$STAGEDML_STORE`, or `~/.local/share/stagedml`."""
    return os.environ.get("STAGEDML_STORE") or os.path.expanduser("~/.local/share/stagedml")


class Store:
    """A store on disk. Opening creates what is missing. Raises `StoreError`, `StoreFormatError`."""

    def __init__(self, path: str | os.PathLike[str] | None = None) -> None:
        self.path = os.path.abspath(os.fspath(path) if path is not None else default_path())
        self.readonly = False
        self.upstreams: list[Upstream] = []  # whose realizations are taken instead of being built again
        self._configs: dict[str, Config] = {}
        self._derivations: dict[str, Any] = {}
        self._seen: dict[str, tuple[tuple[int, int, int], Record]] = {}  # records and how their files looked
        self._check_format()

    def __repr__(self) -> str:
        return f"Store({self.path!r})"

    def dir(self, name: str) -> str:
        """One of the store's folders."""
        return f"{self.path}/{name}"

    def _check_format(self) -> None:
        marker = f"{self.path}/format.json"
        try:
            with open(marker, "rb") as f:
                found = json.loads(f.read())["format"]
        except FileNotFoundError:
            self._create(marker)
            return
        except (ValueError, KeyError, TypeError):
            raise StoreFormatError(
                "format.json cannot be read", where=self.path, hint="restore it, or give another --store"
            ) from None
        except OSError as e:
            raise StoreError(f"the store cannot be opened: {e.strerror}", where=self.path, hint=_HINT) from e
        if found != FORMAT:
            raise StoreFormatError(
                f"the store has format {found}, this stagedml knows {FORMAT}",
                where=self.path,
                hint="use the stagedml that made it, or give another --store",
            )
        if os.access(self.path, os.W_OK):  # a copy may hold only drv and format.json
            self._make_folders()
        self.readonly = not os.access(f"{self.path}/tmp", os.W_OK)

    def _create(self, marker: str) -> None:
        try:
            there = os.listdir(self.path) if os.path.isdir(self.path) else []
            ours = (*_FOLDERS, "lost+found")  # the latter is a fresh volume's own
            others = [n for n in there if n not in ours and not n.startswith("format.json.")]
            if others:  # an unfinished format.json is another maker's, alive or killed
                raise StoreError("a folder with other things in it", where=self.path, hint=_HINT)
            self._make_folders()
            write_atomic(marker, canonical({"format": FORMAT}))
        except OSError as e:
            raise StoreError(f"the store cannot be made: {e.strerror}", where=self.path, hint=_HINT) from e

    def _make_folders(self) -> None:
        try:
            for name in _FOLDERS:
                os.makedirs(f"{self.path}/{name}", exist_ok=True)
        except OSError as e:
            raise StoreError(
                f"the store cannot be completed: {e.strerror}", where=self.path, hint=_HINT
            ) from e

    # configs

    def remember(self, dref: DRef, config: Config, derivation: object = None) -> None:
        """Keeps a config (and its derivation) in memory, so that lenses find it before anything is built."""
        self._configs[dref] = config
        if derivation is not None:
            self._derivations[dref] = derivation

    def derivation(self, dref: str) -> Any:
        """The derivation that this process registered for a reference, or None."""
        return self._derivations.get(dref)

    def config(self, dref: str) -> Config:
        """The config of a derivation. Raises `MissingError`, `CorruptError`."""
        config = self._configs.get(dref)
        if config is None:
            path = f"{self.path}/drv/{DRef(dref).folder}/config.json"
            try:
                with open(path, "rb") as f:
                    fields = parse_json(f.read(), path)
            except FileNotFoundError:
                raise MissingError(
                    f"no derivation {dref}", where=self.path, hint="`stagedml ls` lists them"
                ) from None
            except OSError as e:
                raise CorruptError(f"a config cannot be read: {e.strerror}", where=path, hint=VERIFY) from e
            try:
                config = Config(fields if isinstance(fields, dict) else {})
            except StagedmlError as e:
                raise CorruptError(f"not a config: {e.what}", where=path, hint=VERIFY) from e
            if config_dref(config) != dref:
                raise CorruptError(
                    "the config is not the one its folder is named after", where=path, hint=VERIFY
                )
            self._configs[dref] = config
        return config

    def write_config(self, dref: DRef, config: Config) -> None:
        """Puts a derivation's folder and config in place, once, atomically."""
        folder = f"{self.path}/drv/{dref.folder}"
        if os.path.exists(f"{folder}/config.json"):
            return
        prepared = self.new_tmp()
        write_new(f"{prepared}/config.json", config.bytes)
        try:
            os.rename(prepared, folder)
        except OSError as e:
            if e.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                raise StoreError(f"cannot write a derivation: {e.strerror}", where=folder, hint=_HINT) from e
            if not os.path.exists(f"{folder}/config.json"):
                os.replace(f"{prepared}/config.json", f"{folder}/config.json")
            remove_tree(prepared)

    def drefs(self) -> Iterator[DRef]:
        """All derivations on disk."""
        with os.scandir(f"{self.path}/drv") as entries:
            for entry in entries:
                try:
                    yield DRef(f"dref:{entry.name}")
                except StagedmlError:
                    continue  # not ours; `verify` reports it

    # realizations

    def records(self, dref: str) -> list[Record]:
        """All realizations of a derivation, oldest first. Damaged records are left out (see `damaged`)."""
        return self.look(dref)[0]

    def damaged(self, dref: str) -> list[tuple[str, str]]:
        """(folder, what is wrong) of the realizations whose own record cannot be trusted."""
        return self.look(dref)[1]

    def look(self, dref: str) -> tuple[list[Record], list[tuple[str, str]]]:
        """`records` and `damaged` in one look at the disk."""
        dref = DRef(dref)
        folder = f"{self.path}/drv/{dref.folder}"
        found: list[Record] = []
        damaged: list[tuple[str, str]] = []
        try:
            names = os.listdir(folder)
        except FileNotFoundError:
            return found, damaged
        except OSError as e:
            raise StoreError(f"a derivation cannot be read: {e.strerror}", where=folder, hint=_HINT) from e
        for name in names:
            if _DIGEST.fullmatch(name):
                try:
                    found.append(self.record(mkrref(name, dref)))
                except CorruptError as e:
                    damaged.append((f"{folder}/{name}", e.what))
                except MissingError:
                    continue  # went away in the meantime
        if len(found) > 1:
            found.sort(key=lambda r: (r.published, r.rref))
        return found, damaged

    def record(self, rref: str) -> Record:
        """The record of one realization. Raises `MissingError`, `CorruptError`."""
        rref = RRef(rref)
        folder = f"{self.path}/drv/{rref.dref.folder}/{rref.digest}"
        path = f"{folder}/context.json"
        try:
            stamp = file_stamp(path)
            seen = self._seen.get(rref)
            if seen is not None and seen[0] == stamp:
                return seen[1]
            data = parse_json(read_bytes(path), path)
        except FileNotFoundError:
            if os.path.isdir(folder):
                raise CorruptError("context.json is missing", where=folder, hint=VERIFY) from None
            raise MissingError(
                f"no realization {rref}", where=self.path, hint="realize its stage first"
            ) from None
        except OSError as e:
            raise CorruptError(f"context.json cannot be read: {e.strerror}", where=folder, hint=VERIFY) from e
        record = checked_record(rref, folder, data)
        self._seen[rref] = (stamp, record)
        return record

    def path_of(self, rref: str) -> str:
        """The folder of a realization's artifacts. Raises `MissingError`."""
        rref = RRef(rref)
        out = f"{self.path}/drv/{rref.dref.folder}/{rref.digest}/out"
        if not os.path.isdir(out):
            raise MissingError(f"no realization {rref}", where=self.path, hint="realize its stage first")
        return out

    def provenance(self, rref: str) -> dict[str, Any]:
        """Who, when, where, how: what was recorded of a build. Empty when nothing was."""
        rref = RRef(rref)
        path = f"{self.path}/drv/{rref.dref.folder}/{rref.digest}/context.json"
        try:
            data = parse_json(read_bytes(path), path)
        except FileNotFoundError:
            return {}
        found = data.get("provenance") if isinstance(data, dict) else None
        return found if isinstance(found, dict) else {}

    # publishing

    def new_tmp(self) -> str:
        """A new empty folder under `tmp`, named after its owner so that a dead owner's can be removed."""
        path = f"{self.path}/tmp/{unique_name()}"
        try:
            os.mkdir(path)
        except OSError as e:
            raise StoreError(f"cannot write to the store: {e.strerror}", where=self.path, hint=_HINT) from e
        return path

    def publish(
        self,
        prepared: str,
        dref: DRef,
        *,
        context: Context,
        index: int,
        seed: int,
        volatile: Iterable[str] = (),
        provenance: Mapping[str, Any],
        code: str = "",
        newer_than: int = -1,
        durable: bool = False,
    ) -> RRef:
        """Hashes, seals and renames `prepared` (with its `out` folder) into place; returns its reference.

        `volatile` paths stay out of the digest. `newer_than` is the publishing time of what this one
        replaces: it counts as newer, whatever the clock says. `durable` syncs everything to the disk first.
        When the same realization is there already, that one is kept. Raises `StoreError`; then nothing was
        published.
        """
        apart = tuple(volatile)
        files: dict[str, FileEntry] = {}
        logs: dict[str, FileEntry] = {}
        manifest = hash_tree(f"{prepared}/out")
        for name, entry in manifest.items():
            inside = any(name == v or name.startswith(v + "/") for v in apart)
            (logs if inside else files)[name] = entry
        hashed: Any = {"context": context, "files": files, "instance": {"index": index, "seed": seed}}
        first = canonical(hashed)
        rref = mkrref(ref_digest("realization:1", first), dref)
        published = max(time.time_ns(), newer_than + 1)
        rest: Any = {"code": code, "provenance": dict(provenance), "published": published, "volatile": logs}
        write_new(f"{prepared}/context.json", first[:-1] + b"," + canonical(rest)[1:], mode=0o444)
        seal(prepared, manifest, durable=durable)
        folder = f"{self.path}/drv/{dref.folder}/{rref.digest}"
        try:
            os.rename(prepared, folder)
        except OSError as e:
            if e.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                raise StoreError(f"cannot publish: {e.strerror}", where=folder, hint=_HINT) from e
            if self.problems(self.record(rref)):
                self.quarantine(folder, "replaced by a fresh build")
                os.rename(prepared, folder)
            else:
                remove_tree(prepared)
        else:
            self._seen[rref] = (
                file_stamp(f"{folder}/context.json"),
                as_record(rref, folder, {**hashed, **rest}),
            )
        if durable:
            sync(os.path.dirname(folder))
        return rref

    # checking

    def problems(self, record: Record, *, deep: bool = False) -> list[str]:
        """What is wrong with a realization; `deep` reads every byte, else only what looks touched."""
        return problems(record, deep=deep)

    def quarantine(self, folder: str, reason: str) -> str:
        """Moves a damaged realization out of the way, with a note of why; returns where it is now."""
        label = f"{time.strftime('%Y%m%dT%H%M%S')}-{os.urandom(4).hex()}"
        target = f"{self.path}/quarantine/{label}-{os.path.basename(folder)}"
        try:
            os.chmod(folder, 0o755)
            os.rename(folder, target)
            write_atomic(f"{target}.reason.txt", f"{folder}\n{reason}\n".encode())
        except FileNotFoundError:
            return target  # another process was first
        except OSError as e:
            raise CorruptError(
                f"damaged ({reason}), and cannot be moved away: {e.strerror}", where=folder, hint=_HINT
            ) from e
        return target


_HINT = "check its permissions and the space left, or give another one: --store PATH or $STAGEDML_STORE"


_current: Store | None = None
_chosen = False


def initialize(store: str | os.PathLike[str] | None = None) -> Store:
    """Opens a store and makes it the one that functions use when they are given none."""
    global _current, _chosen
    _current, _chosen = Store(store), store is not None
    return _current


@contextmanager
def using(store: Store) -> Iterator[Store]:
    """Makes a store the current one for the time of a `with` body."""
    global _current, _chosen
    before = _current, _chosen
    _current, _chosen = store, True
    try:
        yield store
    finally:
        _current, _chosen = before


def current_store() -> Store:
    """The store set by `initialize`, else `$STAGEDML_STORE`, else `~/.local/share/stagedml`."""
    global _current
    if _current is None or (not _chosen and _current.path != os.path.abspath(default_path())):
        _current = Store()
    return _current
