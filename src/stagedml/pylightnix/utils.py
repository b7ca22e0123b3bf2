# ruff: noqa: E741 - the interface's names
"""The small functions that Pylightnix 0.3.0 offers beside its engine: files, hashes, JSON, times, sorting."""

from __future__ import annotations

import hashlib
import heapq
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import Any, TypeVar

from stagedml.disk import remove_tree
from stagedml.pylightnix.types import DRef, Hash, Path, RRef, UsageError
from stagedml.refs import is_dref, is_rref

PYLIGHTNIX_TIME = "%y%m%d-%H:%M:%S:%f%z"
PYLIGHTNIX_SELF_TAG = "__self__"
selfref = PYLIGHTNIX_SELF_TAG
Mutator = Callable[[Any, Any], Any]
_A = TypeVar("_A")
_B = TypeVar("_B")


# times


def timestring(sec: float | None = None) -> str:
    """Now, or seconds since the epoch, as local time with its zone: `240131-15:04:05:000000+0100`."""
    when = datetime.now() if sec is None else datetime.fromtimestamp(sec)
    return when.astimezone().strftime(PYLIGHTNIX_TIME)


def parsetime(time: str) -> float | None:
    """Seconds since the epoch of a `timestring`; None when it is none."""
    try:
        return datetime.strptime(time, PYLIGHTNIX_TIME).timestamp()
    except (ValueError, OverflowError):
        return None


def logdir(tag: str, logrootdir: str, timetag: str | None = None) -> str:
    """`<logrootdir>/<tag>_<time>`."""
    return os.path.join(logrootdir, "_".join([*([tag] if tag else []), timetag or timestring()]))


def mklogdir(
    tag: str,
    logrootdir: str,
    subdirs: Iterable[str] = (),
    symlinks: bool = True,
    timetag: str | None = None,
) -> Path:
    """Makes a `logdir` with folders in it; a link `_<tag>_latest` beside it leads there."""
    path = logdir(tag, logrootdir, timetag)
    os.makedirs(path, exist_ok=True)
    if symlinks:
        link = f"_{tag}_latest" if tag else "_latest"
        forcelink(os.path.basename(path), os.path.join(logrootdir, link))
    for name in subdirs:
        os.makedirs(os.path.join(path, name), exist_ok=True)
    return Path(path)


# files and folders


def forcelink(src: str, dst: str, **kwargs: Any) -> None:
    """Makes `dst` a link to `src`, whatever link or file was there."""
    os.makedirs(os.path.dirname(dst) or ".", exist_ok=True)
    fresh = f"{dst}__{os.urandom(4).hex()}"
    os.symlink(src, fresh, **kwargs)
    os.replace(fresh, dst)


def filerw(f: str) -> None:
    os.chmod(_a_file(f), os.stat(f).st_mode | 0o200)


def filero(f: str) -> None:
    os.chmod(_a_file(f), os.stat(f).st_mode & ~0o222)


def dirrw(o: str) -> None:
    _chmod_tree(o, lambda mode: mode | 0o200)


def dirro(o: str) -> None:
    _chmod_tree(o, lambda mode: mode & ~0o222)


def dirchmod(o: str, mode: str) -> None:
    """Makes a folder and all in it read-only ("ro") or writable ("rw")."""
    if mode not in ("ro", "rw"):
        raise UsageError(f"{mode!r} is no mode", where=o, hint='"ro" or "rw"')
    (dirro if mode == "ro" else dirrw)(o)


def dirsize(o: str) -> int:
    """Bytes of the files below a folder, links aside."""
    paths = [os.path.join(here, name) for here, _, names in os.walk(o) for name in names]
    return sum(os.path.getsize(path) for path in paths if not os.path.islink(path))


def dirrm(path: str, ignore_not_found: bool = True) -> None:
    """Removes a folder, read-only parts included."""
    if not os.path.lexists(path) and not ignore_not_found:
        raise FileNotFoundError(path)
    remove_tree(path)


def dircp(src: str, dst: str, make_rw: bool = False) -> None:
    """Copies a folder; `dst` is there whole or not at all."""
    if not os.path.isdir(src) or os.path.isdir(dst):
        raise UsageError(f"cannot copy {src} to {dst}", hint="the first must be a folder, the second not")
    shutil.copytree(src, f"{dst}.tmp", symlinks=True)
    if make_rw:
        dirrw(f"{dst}.tmp")
    os.rename(f"{dst}.tmp", dst)


def _a_file(path: str) -> str:
    if not os.path.isfile(path):
        raise UsageError("not a file", where=path)
    return path


def _chmod_tree(folder: str, change: Callable[[int], int]) -> None:
    os.chmod(folder, change(os.stat(folder).st_mode) | 0o500)
    for here, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = os.path.join(here, name)
            if not os.path.islink(path):
                os.chmod(path, change(os.stat(path).st_mode))


# hashes


def encode(s: str, encoding: str = "utf-8") -> bytes:
    return s.encode(encoding)


def datahash(data: Iterable[tuple[str, bytes]], verbose: bool = False) -> Hash:
    """SHA-256 over the bytes of all items, without their names."""
    digest = hashlib.sha256()
    for _, content in data:
        digest.update(content)
    return Hash(digest.hexdigest())


def dirhash_iter(path: str) -> Iterator[tuple[str, bytes]]:
    """(path, content) of the files of a folder, but not of those whose name starts with an underscore."""
    if not os.path.isdir(path):
        raise UsageError("not a folder", where=str(path))
    for here, _, names in os.walk(os.path.abspath(path)):
        for name in sorted(n for n in names if not n.startswith("_")):
            full = os.path.join(here, name)
            if os.path.islink(full):
                yield f"link:{full}", os.readlink(full).encode()
            with open(full, "rb") as f:
                yield full, f.read()


def dirshash(paths: Iterable[str], verbose: bool = False) -> Hash:
    return datahash(item for path in paths for item in dirhash_iter(path))


def dirhash(path: str, verbose: bool = False) -> Hash:
    """Pylightnix's digest of a folder; this engine's own counts the names of files too."""
    return dirshash([path])


def filehash(path: str) -> Hash:
    with open(_a_file(path), "rb") as f:
        return Hash(hashlib.file_digest(f, "sha256").hexdigest())


def dicthash(d: dict[str, Any]) -> Hash:
    """A digest of a dictionary whose keys may come in any order; keys that start with "_" do not count."""
    text = "_".join(f"{k}={v}" for k, v in sorted(d.items()) if k and not k.startswith("_"))
    return Hash(hashlib.sha256(text.encode()).hexdigest())


# references in values


def isrref(ref: Any) -> bool:
    return is_rref(ref)


def isdref(ref: Any) -> bool:
    return is_dref(ref)


def isrefpath(p: Any) -> bool:
    return _texts(p) and is_dref(p[0])


def isselfpath(p: Any) -> bool:
    return _texts(p) and p[0] == PYLIGHTNIX_SELF_TAG


def isclosure(x: Any) -> bool:
    return isinstance(x, tuple) and len(x) == 4 and isinstance(x[1], list) and all(map(is_dref, x[1]))


def _texts(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(x, str) for x in value)


def traverse_list(l: list[Any], mut: Mutator) -> None:
    """Replaces every item by `mut(index, item)`, then goes into what that gave."""
    for i in range(len(l)):
        l[i] = mut(i, l[i])
        _traverse(l[i], mut)


def traverse_dict(d: dict[Any, Any], mut: Mutator) -> None:
    """Replaces every value by `mut(key, value)`, then goes into what that gave."""
    for key in d:
        d[key] = mut(key, d[key])
        _traverse(d[key], mut)


def traverse_tuple(t: tuple[Any, ...], mut: Mutator) -> None:
    """As `traverse_list`, but `mut` must leave the items as they are."""
    for i, item in enumerate(t):
        if mut(i, item) != item:
            raise UsageError("an item of a tuple cannot be changed", hint="use a list")
        _traverse(item, mut)


def _traverse(value: Any, mut: Mutator) -> None:
    if isinstance(value, list):
        traverse_list(value, mut)
    elif isinstance(value, dict):
        traverse_dict(value, mut)
    elif isinstance(value, tuple):
        traverse_tuple(value, mut)


def scanref_list(l: list[Any]) -> tuple[list[DRef], list[RRef]]:
    """All references inside a value, in order."""
    drefs: list[DRef] = []
    rrefs: list[RRef] = []

    def note(_: Any, value: Any) -> Any:
        if is_rref(value):
            rrefs.append(RRef(value))
        elif is_dref(value):
            drefs.append(DRef(value))
        return value

    traverse_list(l, note)
    return drefs, rrefs


def scanref_dict(d: dict[Any, Any]) -> tuple[list[DRef], list[RRef]]:
    return scanref_list(list(d.values()))


def assert_serializable(d: Any, argname: str = "dict") -> Any:
    """What JSON makes of a value; raises `UsageError` unless that is the same."""
    try:
        copy = json.loads(json.dumps(d))
    except (TypeError, ValueError) as e:
        raise UsageError(f"this {argname} cannot be JSON: {e}", hint="use plain lists, dicts, numbers") from e
    if str(copy) != str(d):
        raise UsageError(f"this {argname} changes in JSON: {d!r}", hint="lists for tuples, strings as keys")
    return copy


def assert_valid_dict(d: dict[str, Any], argname: str) -> dict[str, Any]:
    if not isinstance(d, dict):
        raise UsageError(f"this {argname} is a {type(d).__name__}")
    assert_serializable(d, argname)
    return d


# reading and writing


def readstr(path: str) -> str:
    with open(path, encoding="utf-8") as f:
        return f.read()


def writestr(path: str, data: str) -> None:
    with open(path, "w", encoding="utf-8") as f:
        f.write(data)


def readjson(json_path: str) -> Any:
    return json.loads(readstr(json_path))


def writejson(path: str, data: Any, indent: int | None = None) -> None:
    writestr(path, json.dumps(data, indent=indent))


def trycatch(f: Callable[[], _A], default: _A, mp: Callable[[_A], _B]) -> _B:
    """`mp` of what `f` returns, or of the default when a file is missing or garbled."""
    try:
        value = f()
    except (OSError, ValueError):
        value = default
    return mp(value)


def maybereadjson(path: str, default: Any, mp: Callable[[Any], _B]) -> _B:
    return trycatch(lambda: readjson(path), default, mp)


def maybereadstr(path: str, default: str, mp: Callable[[str], _B]) -> _B:
    return trycatch(lambda: readstr(path), default, mp)


def tryreadjson_def(json_path: str, default: Any) -> Any:
    return maybereadjson(json_path, default, lambda x: x)


def tryreadjson(json_path: str) -> Any:
    return tryreadjson_def(json_path, None)


def tryreadstr_def(path: str, default: str) -> str:
    return maybereadstr(path, default, lambda x: x)


def tryreadstr(path: str) -> str | None:
    return trycatch(lambda: readstr(path), None, lambda x: x)


tryread, tryread_def = tryreadstr, tryreadstr_def


def trywrite(path: str, data: str) -> bool:
    def write() -> bool:
        writestr(path, data)
        return True

    return trycatch(write, False, lambda x: x)


def try_executable(
    name: str, envname: str, not_found_message: str | None, not_found_warning: str | None
) -> Callable[[], str]:
    """A function that gives the path of a program; calling it raises `UsageError` when there is none."""
    found = os.environ.get(envname) or shutil.which(name)

    def path() -> str:
        if found is None:
            raise UsageError(not_found_message or f"{name} is not installed", hint=not_found_warning or "")
        return found

    return path


# graphs


def concat(l: Iterable[Iterable[_A]]) -> list[_A]:
    return [item for part in l for item in part]


def kahntsort(nodes: Iterable[Any], inbounds: Callable[[Any], set[Any]]) -> list[Any] | None:
    """Nodes after all that they depend on, the smaller first; None when the graph has a cycle."""
    missing = {n: len(inbounds(n)) for n in nodes}
    users: dict[Any, list[Any]] = {n: [] for n in missing}
    for node in missing:
        for dep in inbounds(node):
            users[dep].append(node)
    ready = [n for n, count in missing.items() if not count]
    heapq.heapify(ready)
    order = []
    while ready:
        node = heapq.heappop(ready)
        order.append(node)
        for user in users[node]:
            missing[user] -= 1
            if not missing[user]:
                heapq.heappush(ready, user)
    return order if len(order) == len(missing) else None


def dagroots(sorted_nodes: list[Any], inbounds: Callable[[Any], set[Any]]) -> set[Any]:
    """The nodes that no other depends on."""
    return set(sorted_nodes) - {dep for node in sorted_nodes for dep in inbounds(node)}
