"""The part file of a download: the bytes gathered so far, and a note of what they belong to.

The note holds the URL, the server's validator and the full length. It is written after the part file was
emptied and before its first byte, so that a kill at any instant leaves bytes with their own note, or none.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from stagedml.errors import FetchError
from stagedml.fetch.checksum import Checksum, Digests, chunks_of


class PartFile:
    """The bytes of `url` gathered at `path`. Picks up what an earlier run left, if that can be continued.

    It can when the server gave a validator, or when `checksum` will tell a mixture of two versions.
    `total` is the full length, where known.
    """

    def __init__(self, path: Path, url: str, *, checksum: Checksum | None = None) -> None:
        self.path = path
        self.size = 0
        self.validator = ""
        self.total: int | None = None
        self._url, self._checksum = url, checksum
        self._note = path.with_name(path.name + ".json")
        self._digests: Digests | None = None
        self._file: IO[bytes] | None = None
        if not self._continue():
            self.discard()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._close()

    @property
    def whole(self) -> bool:
        """Whether all bytes are here; false while the length is unknown."""
        return self.total is not None and self.size == self.total

    def restart(self, validator: str, total: int | None) -> None:
        """Empties the part file for content that is sent from its beginning."""
        self.discard()
        self.validator, self.total = validator, total
        note = {"url": self._url, "validator": validator, "total": total}
        fresh = self._note.with_name(self._note.name + ".new")
        try:
            fresh.write_text(json.dumps(note), encoding="utf-8")
            os.replace(fresh, self._note)
        except OSError as e:
            raise self._unwritable(e) from e

    def append(self, data: bytes) -> None:
        """Adds bytes at the end."""
        self._hashed().update(data)
        try:
            if self._file is None:
                # unbuffered: what was counted is in the file, also when the process is killed
                self._file = self.path.open("ab", buffering=0)
            left = memoryview(data)
            while left:
                left = left[self._file.write(left) :]
        except OSError as e:
            raise self._unwritable(e) from e
        self.size += len(data)

    def discard(self) -> None:
        """Removes the bytes and their note."""
        self._close()
        try:
            self.path.unlink(missing_ok=True)
            self._note.unlink(missing_ok=True)
        except OSError as e:
            raise self._unwritable(e) from e
        self.size, self.validator, self.total, self._digests = 0, "", None, None

    def digests(self) -> Digests:
        """The digests of all bytes; computed along the way, but for those of an earlier run."""
        self._close()
        if not self.path.exists():
            self.path.touch()  # an empty file is content too
        return self._hashed()

    def finish(self, target: Path) -> None:
        """Moves the bytes to `target`, on the same file system, and removes the note."""
        self._close()
        os.replace(self.path, target)
        self._note.unlink(missing_ok=True)

    def check_space(self) -> None:
        """Raises `FetchError` when the bytes that are still to come do not fit on the disk."""
        if self.total is None:
            return
        free = shutil.disk_usage(self.path.parent).free
        if self.total - self.size > free:
            raise FetchError(
                f"not enough space in {self.path.parent}: {self.total - self.size:,} bytes to come, "
                f"{free:,} free",
                where=self._url,
                hint="make room, or put the store on a larger disk ($STAGEDML_STORE)",
            )

    def _continue(self) -> bool:
        """Takes over what an earlier run left; false when there is nothing usable."""
        try:
            note = json.loads(self._note.read_text(encoding="utf-8"))
            size = self.path.stat().st_size
            url, validator, total = note["url"], note["validator"], note["total"]
        except (OSError, ValueError, TypeError, KeyError):
            return False  # no note, or one cut short by a crash: the bytes belong to nothing
        if url != self._url or not (validator or self._checksum) or (total is not None and size > total):
            return False
        self.size, self.validator, self.total = size, str(validator), total
        return True

    def _hashed(self) -> Digests:
        if self._digests is None:
            self._digests = Digests(self._checksum)
            if self.size:
                self._digests.update_all(chunks_of(self.path))
        return self._digests

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _unwritable(self, e: OSError) -> FetchError:
        return FetchError(
            f"cannot write {self.path}: {e.strerror}",
            where=self._url,
            hint="make room or give the permission; the next run continues with what is there",
        )
