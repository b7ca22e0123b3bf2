"""References: how derivations and realizations are named, in code, in logs and on disk.

    dref:<32 hex>-<name>            a derivation: the digest of its config
    rref:<32 hex>-<32 hex>-<name>   a realization: the digest of what was built, then its derivation's

Both are strings, so they can stand in a config, in JSON and on a command line as they are. A name is made
of ASCII letters, digits, dot, underscore, plus and dash, and cannot start with a dot: no name can leave the
folder that it names.
"""

from __future__ import annotations

import re

from stagedml.errors import ConfigError

NAME_LIMIT = 128
_NAME = r"[A-Za-z0-9_+-][A-Za-z0-9._+-]*"
_NAME_RE = re.compile(_NAME)
_DREF_RE = re.compile(rf"dref:([0-9a-f]{{32}})-({_NAME})")
_RREF_RE = re.compile(rf"rref:([0-9a-f]{{32}})-([0-9a-f]{{32}})-({_NAME})")


class DRef(str):
    """Derivation reference, `dref:<32 hex>-<name>`. Raises `ConfigError` when it is not one."""

    __slots__ = ()

    def __new__(cls, text: str) -> DRef:
        if type(text) is cls:
            return text
        if not _DREF_RE.fullmatch(text):
            raise ConfigError(
                f"not a derivation reference: {text!r}", hint="it looks like dref:<32 hex>-<name>"
            )
        return str.__new__(cls, text)

    @property
    def digest(self) -> str:
        """The 32 hexadecimal digits."""
        return self[5:37]

    @property
    def name(self) -> str:
        return self[38:]

    @property
    def folder(self) -> str:
        """The name of its folder in the store."""
        return self[5:]


class RRef(str):
    """Realization reference, `rref:<32 hex>-<32 hex>-<name>`. Raises `ConfigError` when it is not one."""

    __slots__ = ()

    def __new__(cls, text: str) -> RRef:
        if type(text) is cls:
            return text
        if not _RREF_RE.fullmatch(text):
            raise ConfigError(
                f"not a realization reference: {text!r}", hint="it looks like rref:<32 hex>-<32 hex>-<name>"
            )
        return str.__new__(cls, text)

    @property
    def digest(self) -> str:
        """The 32 hexadecimal digits of the realization itself."""
        return self[5:37]

    @property
    def dref(self) -> DRef:
        """The derivation that it realizes."""
        return str.__new__(DRef, f"dref:{self[38:]}")

    @property
    def name(self) -> str:
        return self[71:]


def is_dref(value: object) -> bool:
    """Whether a value is written like a derivation reference."""
    if type(value) is DRef:
        return True
    return isinstance(value, str) and value.startswith("dref:") and _DREF_RE.fullmatch(value) is not None


def is_rref(value: object) -> bool:
    """Whether a value is written like a realization reference."""
    if type(value) is RRef:
        return True
    return isinstance(value, str) and value.startswith("rref:") and _RREF_RE.fullmatch(value) is not None


def check_name(name: object) -> str:
    """The name itself, when it is one that the store can use. Raises `ConfigError` otherwise."""
    if not isinstance(name, str) or not _NAME_RE.fullmatch(name) or len(name) > NAME_LIMIT:
        raise ConfigError(
            f"not a name: {name!r}",
            hint=f"up to {NAME_LIMIT} ASCII letters, digits and . _ + -, not starting with a dot",
        )
    return name


def mkdref(digest: str, name: str) -> DRef:
    return DRef(f"dref:{digest}-{name}")


def mkrref(digest: str, dref: DRef) -> RRef:
    return RRef(f"rref:{digest}-{dref[5:]}")
