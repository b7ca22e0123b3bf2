"""Bytes that are the same everywhere, and their digests.

Only canonical bytes are hashed: JSON with sorted keys, no white-space, UTF-8, the shortest form of each
float. Everything that has no such form is refused, with its place and the remedy; there is no fallback to
`repr` or pickle, because a silent fallback is how one experiment gets two identities.

A digest is SHA-256 over a tag (what kind of thing this is) and the bytes. References carry its first 128
bits; records carry all of it.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Iterator

from stagedml.errors import ConfigError, CorruptError, StoreError

REF_DIGITS = 32
PARALLEL_BYTES = 1 << 24  # below this one thread is faster than starting others
SMALL_BYTES = 1 << 14
PIECE_BYTES = 1 << 18
AHEAD_BYTES = 1 << 23
Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]
FileEntry = list[
    int | str
]  # [size in bytes, sha256, kind]; kind: "f" file, "x" executable, "l" link, "d" folder

_REMEDIES = {
    "set": "use a sorted list",
    "frozenset": "use a sorted list",
    "bytes": "use a string, or put the bytes in a file and depend on it with fetchlocal",
    "datetime": "use its isoformat() string",
    "PosixPath": "use str(path); better, depend on the file with fetchlocal, so that its content counts",
    "ndarray": "use .tolist()",
    "function": "a function has no stable bytes: name what it does with a string",
    "RRef": "",
}


def normalize(value: object, where: str = "config") -> Json:
    """The JSON form of a config value: tuples become lists, -0.0 becomes 0.0, keys are in their order.

    Raises `ConfigError`, naming the place, for what has no stable bytes: NaN, infinities, text that is not
    Unicode, keys that are no strings, and every other type.
    """
    kind = type(value)
    if value is None or kind in (int, bool) or (kind is str and value.isascii()):  # type: ignore[attr-defined]
        return value  # type: ignore[return-value]
    if isinstance(value, str):
        return _text(value, where)
    if kind is float:
        return _finite(value, where)  # type: ignore[arg-type]
    if isinstance(value, (list, tuple)):
        return [normalize(v, f"{where}[{i}]") for i, v in enumerate(value)]
    if isinstance(value, dict):
        for key in value:
            if not isinstance(key, str):
                raise ConfigError(f"the key {key!r} is no string", where=where, hint="use str(key)")
        return {_text(k, where): normalize(value[k], f"{where}.{k}") for k in sorted(value)}
    name = kind.__name__
    hint = _REMEDIES.get(name, "use numbers, strings, lists, dictionaries or references")
    if hasattr(value, "item") and hasattr(value, "dtype"):
        hint = "use .item() for a number, .tolist() for an array"
    raise ConfigError(f"a {name} has no stable bytes", where=where, hint=hint)


def _text(value: str, where: str) -> str:
    text = str(value)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as e:
        raise ConfigError(f"not Unicode text: {value!r}", where=where, hint="decode it properly first") from e
    return text


def _finite(value: float, where: str) -> float:
    if value != value or value in (float("inf"), float("-inf")):
        raise ConfigError(
            f"{value!r} has no stable bytes", where=where, hint="use a finite number, or a string"
        )
    return value + 0.0  # -0.0 equals 0.0, so both have the same bytes


_encode = json.JSONEncoder(  # configs were copied by `normalize`, records are made here: neither holds itself
    sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False, check_circular=False
).encode


def canonical(value: Json) -> bytes:
    """The canonical bytes of a value that `normalize` has seen."""
    return _encode(value).encode("utf-8")


def digest(tag: str, *parts: bytes) -> str:
    """SHA-256, in 64 hexadecimal digits, over a tag and length-prefixed parts."""
    h = hashlib.sha256(b"stagedml:%s\0" % tag.encode())
    for part in parts:
        h.update(b"%d:" % len(part))
        h.update(part)
    return h.hexdigest()


def ref_digest(tag: str, *parts: bytes) -> str:
    """The 32 hexadecimal digits that references carry."""
    return digest(tag, *parts)[:REF_DIGITS]


def hash_file(path: str) -> str:
    """SHA-256 of a file's content, read in pieces: memory does not grow with the file.

    The system is asked for the next pieces while this one is hashed, so that disk and processor work at once.
    """
    with open(path, "rb", buffering=0) as f:
        start = f.read(SMALL_BYTES) or b""
        h = hashlib.sha256(start)
        if len(start) < SMALL_BYTES:  # the buffer for more would cost more than the file
            return h.hexdigest()
        buffer = memoryview(bytearray(PIECE_BYTES))
        done, n = len(start), len(start)
        asked = 0
        while n:
            if asked < done + AHEAD_BYTES and hasattr(os, "posix_fadvise"):
                os.posix_fadvise(f.fileno(), asked, AHEAD_BYTES, os.POSIX_FADV_WILLNEED)
                asked += AHEAD_BYTES
            n = f.readinto(buffer) or 0
            h.update(buffer[:n])
            done += n
        return h.hexdigest()


def hash_entry(path: str, st: os.stat_result, where: str) -> FileEntry:
    """The manifest entry of one file, link or folder."""
    mode = st.st_mode
    if stat.S_ISREG(mode):
        return [st.st_size, hash_file(path), "x" if mode & stat.S_IXUSR else "f"]
    if stat.S_ISDIR(mode):
        return [0, "", "d"]
    if stat.S_ISLNK(mode):
        target = os.readlink(path)
        return [len(target), hashlib.sha256(os.fsencode(target)).hexdigest(), "l"]
    raise StoreError(
        f"an artifact is neither file, folder nor link: {where}", hint="remove it in the realizer"
    )


def walk(root: str, prefix: str = "") -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Everything below a folder as (relative path with slashes, entry); order is not promised."""
    stack = [(root, prefix)]
    while stack:
        folder, inner = stack.pop()
        with os.scandir(folder) as entries:
            for entry in entries:
                name = inner + entry.name
                yield name, entry
                if entry.is_dir(follow_symlinks=False):
                    stack.append((entry.path, name + "/"))


def hash_tree(root: str) -> dict[str, FileEntry]:
    """The manifest of a folder: names, kinds, sizes and contents of everything below it.

    Raises `StoreError` for names that are not Unicode, for links that leave the folder and for devices.
    """
    found: list[tuple[str, str, os.stat_result]] = []
    links: list[tuple[str, str]] = []
    for name, entry in walk(root):
        try:
            name.encode("utf-8")
        except UnicodeEncodeError as e:
            raise StoreError(f"a file name is not Unicode: {name!r}", where=root, hint="rename it") from e
        if entry.is_symlink():
            check_link(root, name, os.readlink(entry.path))
            links.append((name, entry.path))
        found.append((name, entry.path, entry.stat(follow_symlinks=False)))
    inside = f"{os.path.realpath(root)}/" if links else ""
    for name, path in links:  # one through another may lead out, too
        if not f"{os.path.realpath(path)}/".startswith(inside):
            raise _outside(root, name, os.readlink(path))
    if len(found) < 2 or sum(st.st_size for _, _, st in found) < PARALLEL_BYTES:
        return {name: hash_entry(path, st, name) for name, path, st in found}
    from concurrent.futures import ThreadPoolExecutor  # hashing lets other threads run

    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        entries = pool.map(lambda f: hash_entry(f[1], f[2], f[0]), found)
        return {name: entry for (name, _, _), entry in zip(found, entries, strict=True)}


def check_link(root: str, name: str, target: str) -> None:
    """Raises `StoreError` unless a link points, relatively, to something inside `root`."""
    inside = os.path.normpath(os.path.join(os.path.dirname(name), target))
    if os.path.isabs(target) or inside == ".." or inside.startswith("../"):
        raise _outside(root, name, target)


def _outside(root: str, name: str, target: str) -> StoreError:
    return StoreError(
        f"the link {name} points outside its folder, to {target}", where=root, hint="copy the file instead"
    )


def entry_problem(path: str, expected: FileEntry) -> str:
    """What is wrong with one artifact against its manifest entry; empty when nothing is."""
    try:
        found = hash_entry(path, os.lstat(path), path)
    except FileNotFoundError:
        return "is missing"
    except (OSError, StoreError) as e:
        return f"cannot be read ({e})"
    if found == expected:
        return ""
    if found[2] != expected[2] and {found[2], expected[2]} != {"f", "x"}:
        return "is of another kind"
    return "has another size" if found[0] != expected[0] else "has another content"


def parse_json(data: bytes, where: str) -> Json:
    """JSON from the store. Raises `CorruptError` when it is not JSON."""
    try:
        return json.loads(data)  # type: ignore[no-any-return]
    except ValueError as e:
        raise CorruptError(f"not JSON: {e}", where=where, hint="run `stagedml verify`") from e
