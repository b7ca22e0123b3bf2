"""Reading a storage: what depends on what, contexts, and the checks that programs call by name."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator

from stagedml.pylightnix.storage import (
    PYLIGHTNIX_RESERVED,
    S_,
    cfgdict,
    cfgname,
    checked,
    mkname,
    rref2dref,
    rref2path,
    store_of,
)
from stagedml.pylightnix.types import Config, Context, DRef, Path, RefPath, RRef, UsageError
from stagedml.pylightnix.utils import (
    assert_serializable,
    assert_valid_dict,
    dagroots,
    isrefpath,
    kahntsort,
    scanref_dict,
)

# what depends on what


def drefdeps1(drefs: Iterable[DRef], S: S_ = None) -> set[DRef]:
    """The direct dependencies."""
    store = store_of(S)
    return {dep for dref in drefs for dep in store.config(dref).deps}


def drefdeps(drefs: Iterable[DRef], S: S_ = None) -> set[DRef]:
    """All dependencies, direct and indirect; not the derivations themselves."""
    found: set[DRef] = set()
    todo = drefdeps1(drefs, S)
    while todo:
        found |= todo
        todo = drefdeps1(todo, S) - found
    return found


def rrefctx(r: RRef, S: S_ = None) -> Context:
    """The realizations that one was built from, the indirect ones too."""
    store = store_of(S)
    context: dict[DRef, set[RRef]] = {}
    todo = [RRef(r)]
    seen: set[RRef] = set()
    while todo:
        for dep, rrefs in store.record(todo.pop()).context.items():
            context.setdefault(DRef(dep), set()).update(RRef(x) for x in rrefs)
            todo += [RRef(x) for x in rrefs if RRef(x) not in seen]
            seen.update(RRef(x) for x in rrefs)
    return {dref: sorted(context[dref]) for dref in sorted(context)}


def rrefdeps1(rrefs: Iterable[RRef], S: S_ = None) -> set[RRef]:
    store = store_of(S)
    return {RRef(x) for rref in rrefs for found in store.record(rref).context.values() for x in found}


def rrefdeps(rrefs: Iterable[RRef], S: S_ = None) -> set[RRef]:
    return {x for rref in rrefs for found in rrefctx(rref, S).values() for x in found}


def alldrefs(S: S_ = None) -> Iterator[DRef]:
    return store_of(S).drefs()


def drefrrefs(dref: DRef, S: S_ = None) -> list[RRef]:
    """All realizations of a derivation, the oldest first."""
    return [record.rref for record in store_of(S).records(dref)]


def allrrefs(S: S_ = None) -> Iterator[RRef]:
    for dref in alldrefs(S):
        yield from drefrrefs(dref, S)


def rootdrefs(S: S_ = None) -> set[DRef]:
    """The derivations that no other depends on."""
    order = kahntsort(alldrefs(S), lambda d: drefdeps1([d], S))
    return dagroots(order or [], lambda d: drefdeps1([d], S))


def rootrrefs(S: S_ = None) -> set[RRef]:
    """The realizations that no other was built from."""
    order = kahntsort(allrrefs(S), lambda r: rrefdeps1([r], S))
    return dagroots(order or [], lambda r: rrefdeps1([r], S))


def rrefdata(rref: RRef, S: S_ = None) -> Iterator[Path]:
    """The paths of the top-level artifacts."""
    folder = rref2path(rref, S)
    for name in os.listdir(folder):
        yield Path(os.path.join(folder, name))


def store_gc(
    keep_drefs: list[DRef],
    keep_rrefs: list[RRef],
    S: S_ = None,
) -> tuple[set[DRef], set[RRef]]:
    """What nothing of `keep_drefs` and `keep_rrefs` needs; nothing is removed."""
    rrefs = set(keep_rrefs) | rrefdeps(keep_rrefs, S)
    drefs = set(keep_drefs) | drefdeps(keep_drefs, S) | {rref2dref(r) for r in rrefs}
    return set(alldrefs(S)) - drefs, set(allrrefs(S)) - rrefs


# contexts


def mkcontext() -> Context:
    return {}


def context_eq(a: Context, b: Context) -> bool:
    return json.dumps(a, sort_keys=True) == json.dumps(b, sort_keys=True)


def context_add(ctx: Context, dref: DRef, rrefs: list[RRef]) -> Context:
    if dref in ctx:
        raise UsageError(f"{dref} is in the context already, as {ctx[dref]}")
    return dict(sorted([*ctx.items(), (dref, sorted(rrefs))]))


def context_deref(context: Context, dref: DRef) -> list[RRef]:
    if dref not in context:
        raise UsageError(f"{dref} is no dependency here", hint=f"there is: {', '.join(context) or 'none'}")
    return context[dref]


def context_serialize(c: Context) -> str:
    assert_valid_context(c)
    return json.dumps(c, indent=4)


# checks, by the names that programs call them


def reserved(folder: str, name: str) -> Path:
    if name not in PYLIGHTNIX_RESERVED:
        raise UsageError(f"{name!r} is no reserved name", hint=", ".join(PYLIGHTNIX_RESERVED))
    return Path(os.path.join(folder, name))


def assert_valid_refpath(refpath: RefPath) -> None:
    if not isrefpath(refpath):
        raise UsageError(f"not a path inside a derivation: {refpath!r}", hint='["dref:...", "file"]')


def assert_valid_config(c: Config) -> Config:
    assert_valid_name(cfgname(c))
    assert_valid_dict(c.val, "Config")
    return c


def assert_valid_name(s: str) -> None:
    mkname(s)


def assert_valid_rref(ref: str) -> None:
    checked(RRef, ref)


def assert_valid_dref(ref: str) -> None:
    checked(DRef, ref)


def assert_valid_hashpart(hp: str) -> None:
    _check_hex(hp, 32)


def assert_valid_hash(h: str) -> None:
    _check_hex(h, 64)


def _check_hex(text: str, digits: int) -> None:
    if len(text) != digits or not set(text) <= set("0123456789abcdef"):
        raise UsageError(f"not {digits} hexadecimal digits: {text!r}")


def assert_valid_context(c: Context) -> None:
    assert_serializable(c)
    for dref, rrefs in c.items():
        assert_valid_dref(dref)
        for rref in rrefs:
            assert_valid_rref(rref)


def assert_rref_deps(c: Config) -> None:
    rrefs = scanref_dict(cfgdict(c))[1]
    if rrefs:
        raise UsageError(
            f"the config names a realization, {rrefs[0]}", where=cfgname(c), hint="name its derivation"
        )
