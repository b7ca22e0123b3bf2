# ruff: noqa: N802, N803 - the interface's names
"""Where things are, what they are called, and reading them: the part of `core` that builds nothing.

A storage of a Pylightnix program is a store of this project. It is at `$PYLIGHTNIX_STORAGE`, or in
`$PYLIGHTNIX_ROOT`, or what `StorageSettings` say; where none of them speaks it is the usual store, so that
old and new stages share results. A config keeps Pylightnix's spelling (`selfref`) on the outside and has this
project's (`promise`) in the store.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from typing import Any, TypeVar

from stagedml.config import Config as EngineConfig
from stagedml.config import config_dref
from stagedml.disk import remove_tree
from stagedml.errors import ConfigError
from stagedml.pylightnix.types import (
    Config,
    ConfigAttrs,
    DRef,
    Hash,
    HashPart,
    Name,
    Path,
    RConfig,
    RefPath,
    Registry,
    RRef,
    StorageSettings,
    UsageError,
)
from stagedml.pylightnix.utils import (
    assert_valid_dict,
    isdref,
    isrref,
    isselfpath,
    scanref_dict,
    selfref,
    traverse_dict,
)
from stagedml.refs import check_name
from stagedml.store import FORMAT, Store, current_store

PYLIGHTNIX_STORE_VERSION = FORMAT
PYLIGHTNIX_NAMEPAT = "[a-zA-Z0-9._+-]"
PYLIGHTNIX_RESERVED = ["context.json", "group.json"]
PROMISE = "__promise__"

TL = threading.local()
_stores: dict[str, Store] = {}

S_ = StorageSettings | None
_A = TypeVar("_A")


# where


def storagename() -> str:
    return f"stagedml-v{FORMAT}"


def tlregistry(M: Registry | None) -> Registry | None:
    """The registry given, or else that of the surrounding `current_registry`."""
    found: Registry | None = getattr(TL, "registry", None)
    return M if M is not None else found


def tlstorage(S: S_) -> S_:
    """The settings given, or else those of the surrounding `current_storage` or `current_registry`."""
    if S is not None:
        return S
    found: S_ = getattr(TL, "storage", None)
    registry = tlregistry(None)
    return found if found is not None else registry.S if registry is not None else None


@contextmanager
def current_registry(r: Registry) -> Iterator[Registry]:
    """Makes a registry, and its storage, the one that functions use when they are given none."""
    old = getattr(TL, "registry", None)
    TL.registry = r
    try:
        with current_storage(r.S):
            yield r
    finally:
        TL.registry = old


@contextmanager
def current_storage(S: S_) -> Iterator[S_]:
    old = getattr(TL, "storage", None)
    TL.storage = S
    try:
        yield S
    finally:
        TL.storage = old


def fsroot(S: S_ = None) -> Path:
    settings = tlstorage(S)
    if settings is not None and settings.root is not None:
        return settings.root
    return Path(os.environ.get("PYLIGHTNIX_ROOT") or current_store().path)


def fstmpdir(S: S_ = None) -> Path:
    """A folder for a program's own temporary files, in the same file system as the storage."""
    settings = tlstorage(S)
    if settings is not None and settings.tmpdir is not None:
        return settings.tmpdir
    return Path(os.environ.get("PYLIGHTNIX_TMP") or os.path.join(fsroot(S), "tmp"))


def fsstorage(S: S_ = None) -> Path:
    settings = tlstorage(S)
    if settings is not None and settings.storage is not None:
        return settings.storage
    if os.environ.get("PYLIGHTNIX_STORAGE"):
        return Path(os.environ["PYLIGHTNIX_STORAGE"])
    if (settings is None or settings.root is None) and not os.environ.get("PYLIGHTNIX_ROOT"):
        return Path(current_store().path)
    return Path(os.path.join(fsroot(S), storagename()))


def store_of(S: S_ = None) -> Store:
    """The store of this project behind a storage. Raises `StoreError` when it cannot be one."""
    path = fsstorage(S)
    if path not in _stores or not os.path.isdir(path):
        _stores[path] = Store(path)
    return _stores[path]


def mkSS(root: str, stordir: str | None = None, tmpdir: str | None = None) -> StorageSettings:
    return StorageSettings(Path(root), Path(stordir) if stordir else None, Path(tmpdir) if tmpdir else None)


def fsinit(S: S_ = None, check_not_exist: bool = False, remove_existing: bool = False) -> None:
    """Makes the storage and the temporary folder."""
    for folder in (fsstorage(S), fstmpdir(S)):
        if remove_existing:
            remove_tree(folder)
        if check_not_exist and os.path.isdir(folder):
            raise UsageError("it exists already", where=folder)
        os.makedirs(folder, exist_ok=True)
    _stores.pop(fsstorage(S), None)
    assert_valid_storage(S)


def assert_valid_storage(S: S_ = None) -> None:
    store_of(S)
    os.makedirs(fstmpdir(S), exist_ok=True)


# references


def trimhash(h: Hash) -> HashPart:
    return HashPart(h[:32])


def checked(kind: Callable[[str], _A], text: str) -> _A:
    """`kind(text)`, a mistake being a `UsageError`."""
    try:
        return kind(text)
    except ConfigError as e:
        raise UsageError(e.what, where=e.where, hint=e.hint) from e


def mkdref(dhash: HashPart, refname: Name) -> DRef:
    return checked(DRef, f"dref:{dhash}-{refname}")


def mkrref(rhash: HashPart, dhash: HashPart, refname: Name) -> RRef:
    return checked(RRef, f"rref:{rhash}-{dhash}-{refname}")


def undref(r: DRef) -> tuple[HashPart, Name]:
    dref = checked(DRef, r)
    return HashPart(dref.digest), Name(dref.name)


def unrref(r: RRef) -> tuple[HashPart, HashPart, Name]:
    rref = checked(RRef, r)
    return HashPart(rref.digest), HashPart(rref.dref.digest), Name(rref.name)


def rref2dref(rref: RRef) -> DRef:
    return checked(RRef, rref).dref


def mkname(s: str) -> Name:
    return Name(checked(check_name, s))


def mkrefpath(r: DRef, items: list[str] | None = None) -> RefPath:
    return [str(DRef(r)), *(items or [])]


def dref2path(r: DRef, S: S_ = None) -> Path:
    return Path(f"{store_of(S).path}/drv/{DRef(r).folder}")


def rref2path(r: RRef, S: S_ = None) -> Path:
    """The folder of the artifacts; here the records are beside it, not in it."""
    rref = RRef(r)
    return Path(f"{dref2path(rref.dref, S)}/{rref.digest}/out")


def drefcfgpath(r: DRef, S: S_ = None) -> Path:
    return Path(f"{dref2path(r, S)}/config.json")


def path2dref(p: str) -> DRef | None:
    """The derivation whose folder a path or link leads to, by its name."""
    path = os.readlink(p) if os.path.islink(p) else p
    text = f"dref:{os.path.basename(path)}"
    return DRef(text) if isdref(text) else None


def path2rref(p: str) -> RRef | None:
    """The realization whose folder a path or link leads to, by its name."""
    path = os.readlink(p) if os.path.islink(p) else p
    folder, name = os.path.split(os.path.dirname(path) if os.path.basename(path) == "out" else path)
    text = f"rref:{name}-{os.path.basename(folder)}"
    return RRef(text) if isrref(text) else None


# configs


def mkconfig(d: dict[str, Any]) -> Config:
    """A config; a field `r` with a registry in it is left out, so that `locals()` may be passed."""
    return Config(assert_valid_dict({k: v for k, v in d.items() if not isinstance(v, Registry)}, "dict"))


def cfgdict(cp: Config) -> dict[str, Any]:
    return deepcopy(cp.val)


def cfgcattrs(c: Config) -> Any:
    return ConfigAttrs(cfgdict(c))


def cfgserialize(c: Config) -> str:
    return json.dumps(c.val, indent=4)


def cfgname(c: Config) -> Name:
    return mkname(c.val.get("name", "unnamed"))


def cfghash(c: Config) -> Hash:
    """The digest in the config's reference; not that of Pylightnix, which depends on the order of keys."""
    return Hash(config_dref(to_engine(c)).digest)


def cfgdeps(c: Config) -> set[DRef]:
    return set(scanref_dict(cfgdict(c))[0])


def cfgsp(c: Config) -> list[tuple[str, RefPath]]:
    """(key, path) of the outputs that a config declares."""
    found: list[tuple[str, RefPath]] = []

    def note(key: Any, value: Any) -> Any:
        if isselfpath(value):
            found.append((str(key), value))
        return value

    traverse_dict(cfgdict(c), note)
    return found


def _respelled(c: Config, spell: Callable[[RefPath], RefPath], *, marker: str) -> dict[str, Any]:
    fields = cfgdict(c)
    traverse_dict(fields, lambda _, v: spell(v) if isinstance(v, list) and v and v[0] == marker else v)
    return fields


def resolve(c: Config, r: DRef) -> RConfig:
    """The config with its own outputs as paths inside the derivation `r`."""
    return RConfig(_respelled(c, lambda path: [DRef(r), *path[1:]], marker=selfref))


def to_engine(c: Config) -> EngineConfig:
    """The config as this project stores it. Raises `ConfigError`, naming the place."""
    return EngineConfig(_respelled(c, lambda path: [PROMISE, *path[1:]], marker=selfref))


def drefcfg_(dref: DRef, S: S_ = None) -> Config:
    """The config of a derivation, its outputs marked by `selfref`."""
    stored = Config(store_of(S).config(dref).dict())
    return Config(_respelled(stored, lambda path: [selfref, *path[1:]], marker=PROMISE))


def drefcfg(dref: DRef, S: S_ = None) -> RConfig:
    return resolve(drefcfg_(dref, S), dref)


def drefattrs(r: DRef, S: S_ = None) -> Any:
    return cfgcattrs(drefcfg(r, S))


def rrefattrs(r: RRef, S: S_ = None) -> Any:
    return drefattrs(rref2dref(r), S)
