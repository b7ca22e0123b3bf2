"""Files at an fsspec URL: read, listed, and put there whole or not at all.

Remote file systems differ in what a half-written file looks like. On object stores (S3, GCS, Azure) an
upload shows when it is complete; elsewhere (a folder, SFTP, SMB) it grows under everybody's eyes, so there it
is written under `tmp/` and moved. Listings are never taken from a cache: another process may be writing.

fsspec is imported when a remote store is first used.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any, NamedTuple, TypeVar

from stagedml.errors import ConfigError, RemoteError
from stagedml.owner import is_dead, unique_name

T = TypeVar("T")
R = TypeVar("R")
THREADS = 8
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
_CONNECT = "check the address and your access to it; fsspec reads each service's usual credentials"


class Connection(NamedTuple):
    """A file system, the path in it, and how it wants to be treated."""

    fs: Any
    root: str
    moves: bool  # whether what is written is seen before it is whole
    readonly: bool
    threads: int


class RemoteFiles:
    """The files below one URL; paths are relative to it. Nothing is asked of the network before it is needed.

    Raises `RemoteError`, and `ConfigError` for an empty URL.
    """

    def __init__(self, url: str) -> None:
        if not url:
            raise ConfigError("the address of the remote store is empty", hint="give a URL or a folder")
        self._url = url
        self.name = shown(url)
        self._made: set[str] = set()

    @cached_property
    def _at(self) -> Connection:
        return _connect(self._url, self.name)

    def _path(self, path: str) -> str:
        return f"{self._at.root}/{path}"

    def where(self, path: str) -> str:
        """A path as messages show it."""
        return f"{self.name}/{path}"

    def each(self, function: Callable[[T], R], items: Iterable[T]) -> list[R]:
        """Calls a function for each item, several at a time where the connection allows."""
        todo = list(items)
        if len(todo) < 2 or self._at.threads == 1:
            return [function(item) for item in todo]
        from concurrent.futures import ThreadPoolExecutor

        pool = ThreadPoolExecutor(min(self._at.threads, len(todo)))
        try:
            return list(pool.map(function, todo))
        finally:
            pool.shutdown(cancel_futures=True)

    def size(self, path: str) -> int | None:
        """The size of a file in bytes; None when there is none, -1 when the server does not tell."""
        with self._talking("cannot be looked at", path):
            try:
                info = self._at.fs.info(self._path(path))
            except NotADirectoryError:
                return None
            except FileNotFoundError as e:
                return absent(e, None)
            if info.get("type") == "directory":
                return None
            size = info.get("size")
            return int(size) if size is not None else -1

    def read(self, path: str, limit: int = 1 << 30) -> bytes | None:
        """The content of a small file; None when there is none. `RemoteError` beyond `limit` bytes."""
        size = self.size(path)
        if size is None:
            return None
        if size > limit:
            raise RemoteError(f"has {size} bytes where at most {limit} make sense", where=self.where(path))
        with self._talking("cannot be read", path):
            try:
                return bytes(self._at.fs.cat_file(self._path(path)))
            except FileNotFoundError as e:
                return absent(e, None)

    def fetch(self, path: str, target: str) -> bool:
        """Copies a remote file to a local one, in pieces; False when there is none."""
        with self._talking("cannot be read", path, target):
            try:
                self._at.fs.get_file(self._path(path), target)
            except FileNotFoundError as e:
                return absent(e, False)
            return True

    def names(self, folder: str) -> list[str]:
        """The names in a folder, as they are now; empty when there is none."""
        with self._talking("cannot be listed", folder):
            self._at.fs.invalidate_cache()
            try:
                found = self._at.fs.ls(self._path(folder).rstrip("/"), detail=False)
            except FileNotFoundError as e:
                return absent(e, [])
            return sorted({str(f).rstrip("/").rsplit("/", 1)[-1] for f in found})

    def send(self, source: str | bytes, path: str) -> None:
        """Puts a local file, or these bytes, in place; a reader sees all of it or nothing."""
        if self._at.readonly:
            raise RemoteError("can only be read", where=self.name, hint="push to the place that it serves")
        with self._talking("cannot be written", path):
            self._send(source, path)

    def _send(self, source: str | bytes, path: str) -> None:
        place = self._path(f"tmp/{unique_name()}") if self._at.moves else self._path(path)
        if self._at.moves:
            self._make_folders("tmp", path.rpartition("/")[0])
        try:
            if isinstance(source, bytes):
                self._at.fs.pipe_file(place, source)
            else:
                self._at.fs.put_file(source, place)
            if self._at.moves:
                self._at.fs.mv(place, self._path(path))
        except BaseException:
            if self._at.moves and self._at.fs.exists(place):
                self._at.fs.rm_file(place)
            raise

    def _make_folders(self, *folders: str) -> None:
        for folder in folders:
            if folder not in self._made:
                self._at.fs.makedirs(self._path(folder), exist_ok=True)
                self._made.add(folder)

    def sweep(self) -> None:
        """Removes what processes of this machine left under `tmp` when they died."""
        for name in self.names("tmp"):
            if is_dead(name):
                with self._talking("cannot be removed", f"tmp/{name}"):
                    try:
                        self._at.fs.rm_file(self._path(f"tmp/{name}"))
                    except FileNotFoundError:
                        continue  # another process sweeps too

    @contextmanager
    def _talking(self, what: str, path: str, target: str = "") -> Iterator[None]:
        """Makes one error of the many kinds that the libraries behind fsspec raise."""
        try:
            yield
        except RemoteError:
            raise
        except Exception as e:
            if target and isinstance(e, OSError) and (e.errno in NO_ROOM or e.filename == target):
                raise  # the local file is the trouble
            cause = e.__cause__ if isinstance(e, FileNotFoundError) and e.__cause__ else e
            text = str(cause) or type(cause).__name__
            raise RemoteError(f"{what}: {text}", where=self.where(path), hint=_CONNECT) from e


def absent(error: FileNotFoundError, answer: T) -> T:
    """The answer for a file that is not there; raises the error when it was the server that was not.

    fsspec's HTTP says "not found" of both, and keeps the reason.
    """
    cause = error.__cause__
    status = getattr(cause, "status", None)
    if isinstance(status, int):
        lost = status not in (404, 410)
    else:
        lost = isinstance(cause, OSError) or type(cause).__module__.startswith("aiohttp")
    if lost and not isinstance(cause, FileNotFoundError):
        raise error
    return answer


def shown(url: str) -> str:
    """A URL for messages, without a password."""
    return re.sub(r"//[^/@]*@", "//", url).rstrip("/")


def _connect(url: str, name: str) -> Connection:
    try:
        from fsspec.core import url_to_fs
        from fsspec.spec import AbstractFileSystem
    except ImportError as e:
        raise RemoteError(
            "a remote store needs the package fsspec",
            where=name,
            hint="pip install 'stagedml[remote]'; s3:// needs s3fs as well, gs:// gcsfs, https:// aiohttp",
        ) from e
    try:
        fs, root = url_to_fs(url, use_listings_cache=False)
    except ImportError as e:
        raise RemoteError(f"its protocol needs another package: {e}", where=name) from e
    except Exception as e:
        raise RemoteError(f"no such remote store: {e}", where=name, hint=_CONNECT) from e
    protocols = {fs.protocol} if isinstance(fs.protocol, str) else set(fs.protocol)
    return Connection(
        fs,
        str(root).rstrip("/"),
        moves=type(fs).mv is not AbstractFileSystem.mv or not fs.async_impl,
        readonly=bool(protocols & {"http", "https"}),
        # FTP and the like have one connection, which threads would talk into at once
        threads=THREADS if fs.async_impl or protocols & {"file", "memory"} else 1,
    )
