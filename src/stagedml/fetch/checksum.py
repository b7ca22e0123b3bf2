"""Checksums of files that were published elsewhere: `sha256`, `sha1` or `md5`, in hexadecimal.

What the store computes over its own artifacts is in `hashing`; here are the sums that a download is held to.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from stagedml.errors import ChecksumError, ConfigError

HEX_DIGITS = {"sha256": 64, "sha1": 40, "md5": 32}
CHUNK = 1 << 20


@dataclass(frozen=True)
class Checksum:
    """What a file has to be. Raises `ConfigError` when the digest is not one of its algorithm."""

    algorithm: str
    hexdigest: str

    def __post_init__(self) -> None:
        digits = HEX_DIGITS.get(self.algorithm)
        if digits is None:
            raise ConfigError(f"unknown checksum {self.algorithm!r}", hint=f"known: {', '.join(HEX_DIGITS)}")
        object.__setattr__(self, "hexdigest", self.hexdigest.strip().lower())
        if not re.fullmatch(f"[0-9a-f]{{{digits}}}", self.hexdigest):
            raise ConfigError(
                f"{self.hexdigest!r} is not a {self.algorithm}", hint=f"it has {digits} hexadecimal digits"
            )

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.hexdigest}"

    @classmethod
    def parse(cls, text: str) -> Checksum:
        """A checksum as `str` writes it, `sha256:<hex>`."""
        algorithm, _, hexdigest = text.partition(":")
        return cls(algorithm, hexdigest)

    def mismatch(self, got: str, where: str, *, hint: str = "") -> ChecksumError:
        """The error for a file that is another one; nothing of it is to be kept."""
        return ChecksumError(
            f"wrong {self.algorithm}: expected {self.hexdigest}, got {got}",
            where=where,
            hint=hint
            or "nothing was kept; either the file changed at its source, or the checksum is not its",
        )


class Digests:
    """Several digests of one stream, computed in one pass. sha256 is always among them."""

    def __init__(self, checksum: Checksum | None = None) -> None:
        self._asked = checksum.algorithm if checksum else "sha256"
        names = dict.fromkeys(("sha256", self._asked))
        self._hashes = {name: hashlib.new(name, usedforsecurity=False) for name in names}

    def update(self, data: bytes | memoryview) -> None:
        for digest in self._hashes.values():
            digest.update(data)

    def update_all(self, chunks: Iterable[bytes]) -> None:
        for chunk in chunks:
            self.update(chunk)

    @property
    def sha256(self) -> str:
        return self._hashes["sha256"].hexdigest()

    @property
    def asked(self) -> str:
        """The digest that the checksum is about."""
        return self._hashes[self._asked].hexdigest()


def chunks_of(path: Path) -> Iterable[bytes]:
    """The bytes of a file, a megabyte at a time."""
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            yield chunk


def digests_of(path: Path, checksum: Checksum | None = None) -> Digests:
    """The digests of a whole file."""
    digests = Digests(checksum)
    digests.update_all(chunks_of(path))
    return digests
