"""Matchers of Pylightnix: which of the realizations at hand count, or None to build (more)."""

from __future__ import annotations

from collections.abc import Callable

from stagedml.pylightnix.storage import S_, rref2path, store_of
from stagedml.pylightnix.types import Key, Matcher, RRef, UsageError
from stagedml.pylightnix.utils import parsetime, tryread


def texthash() -> Key:
    """Sorts by digest."""
    return lambda S, rref: RRef(rref).digest


def latest() -> Key:
    """Sorts by when the build began, or by when it was published where the build does not say."""

    def key(S: S_, rref: RRef) -> float:
        began = parsetime(tryread(f"{rref2path(rref, S)}/__buildstart__.txt") or "")
        return began if began is not None else store_of(S).record(rref).published / 1e9

    return key


def exact(expected: list[RRef]) -> Key:
    """Lets through the realizations named."""
    return lambda S, rref: 1 if rref in expected else None


def match(key: Key, trim: Callable[[list[RRef]], list[RRef] | None], mnext: Matcher | None = None) -> Matcher:
    """Sorts by a key, the greatest first, without those of no key; `trim` then chooses, or asks to build."""

    def matcher(S: S_, rrefs: list[RRef]) -> list[RRef] | None:
        keys = {rref: key(S, rref) for rref in rrefs}
        known = [rref for rref in rrefs if keys[rref] is not None]
        chosen = trim(sorted(known, key=lambda rref: keys[rref], reverse=True))  # type: ignore[arg-type, return-value]
        return mnext(S, chosen) if chosen and mnext is not None else chosen

    return matcher


def match_all(S: S_, rrefs: list[RRef]) -> list[RRef] | None:
    """Everything there is; builds when there is nothing."""
    return rrefs or None


def match_some(n: int = 1, key: Key | None = None) -> Matcher:
    """The first `n` by a key; builds while there are fewer."""
    if n < 0:
        raise UsageError(f"match_some({n})", hint="at least 0")
    return match(key or texthash(), lambda rrefs: rrefs[:n] if len(rrefs) >= n else None, match_all)


def match_only() -> Matcher:
    """The one realization; an error when there are several."""

    def trim(rrefs: list[RRef]) -> list[RRef] | None:
        if len(rrefs) > 1:
            raise UsageError(
                f"{len(rrefs)} realizations of {rrefs[0].dref} where match_only expects one",
                hint="use match_latest(), or remove what is not wanted",
            )
        return rrefs or None

    return match(texthash(), trim)


def match_latest(n: int = 1) -> Matcher:
    """The `n` that were built last."""
    return match_some(n, key=latest())


def match_exact(rrefs: list[RRef]) -> Matcher:
    """The realizations named, all of which must be there."""
    return match_some(len(rrefs), key=exact(rrefs))
