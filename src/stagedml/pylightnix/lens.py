"""Pylightnix's lenses: dots through configs, dependencies and JSON artifacts."""

from __future__ import annotations

import os
from typing import Any, NamedTuple

from stagedml.pylightnix.build import build_config, build_context, build_outpaths
from stagedml.pylightnix.reading import context_add, context_deref, rrefctx
from stagedml.pylightnix.storage import S_, cfgdict, dref2path, drefcfg, rref2dref, rref2path
from stagedml.pylightnix.types import (
    Build,
    Closure,
    Context,
    DRef,
    Path,
    RefPath,
    Registry,
    RRef,
    UsageError,
)
from stagedml.pylightnix.utils import isdref, isrefpath, isrref, readstr, tryreadjson


class LensContext(NamedTuple):
    """What a lens knows beside its value: the storage, the folder being built, the realizations chosen."""

    S: S_
    build_path: Path | None
    context: Context | None
    closure: Closure | None


def val2dict(v: Any, ctx: LensContext) -> dict[str, Any] | None:
    """The fields below a value: its own, those of a config, or those of a JSON artifact; None without any."""
    if isinstance(v, dict):
        return v
    if isdref(v):
        return cfgdict(drefcfg(DRef(v), ctx.S))
    if isrref(v):
        return cfgdict(drefcfg(rref2dref(RRef(v)), ctx.S))
    if isinstance(v, Build):
        return cfgdict(build_config(v))
    if isinstance(v, Closure):
        return val2dict(_target(v), ctx)
    if isrefpath(v):
        fields = tryreadjson(val2path(v, ctx))
        if not isinstance(fields, dict):
            raise UsageError(f"{v} is no JSON file with fields")
        return fields
    return None


def val2rref(v: Any, ctx: LensContext) -> RRef:
    """The realization that a value stands for, here."""
    if isinstance(v, Closure):
        return val2rref(_target(v), ctx)
    if isrref(v):
        return RRef(v)
    if not isdref(v):
        raise UsageError(f"{v!r} is no realization")
    if ctx.context is None:
        raise UsageError(f"{v} is not realized here", hint="make the lens from a realization or a build")
    rrefs = context_deref(ctx.context, DRef(v))
    if len(rrefs) != 1:
        raise UsageError(f"{v} has {len(rrefs)} realizations here", hint="choose one, with mklens(rref)")
    return rrefs[0]


def val2path(v: Any, ctx: LensContext) -> Path:
    """Where a value is on this machine: a derivation, a realization, a file in one, or the build itself."""
    if isinstance(v, Closure):
        return val2path(_target(v), ctx)
    if isinstance(v, Build):
        return _building(ctx, v)
    if isrref(v):
        return rref2path(RRef(v), ctx.S)
    if isdref(v):
        known = ctx.context is not None and v in ctx.context
        return rref2path(val2rref(v, ctx), ctx.S) if known else dref2path(DRef(v), ctx.S)
    if isrefpath(v):
        if ctx.context is None:
            raise UsageError(f"{v} is not realized here", hint="make the lens from a realization or a build")
        folder = rref2path(val2rref(v[0], ctx), ctx.S) if v[0] in ctx.context else _building(ctx, v)
        return Path(os.path.join(folder, *v[1:]))
    raise UsageError(f"{v!r} is nowhere on disk")


def _target(closure: Closure) -> DRef:
    if len(closure.targets) != 1:
        raise UsageError(
            f"a closure of {len(closure.targets)} targets", hint="make the lens from one of them"
        )
    return closure.targets[0]


def _building(ctx: LensContext, value: Any) -> Path:
    if ctx.build_path is None:
        raise UsageError(f"{value!r} is not being built here")
    return ctx.build_path


def lens_repr(l: Lens, accessor: str) -> str:  # noqa: E741
    return f"mklens(x).{'.'.join([*l.steps, accessor])}"


def traverse(l: Lens, hint: str) -> Any:  # noqa: E741
    """The value at a lens."""
    value = l.start
    for step in l.steps:
        fields = val2dict(value, l.ctx)
        if fields is None or step not in fields:
            known = ", ".join(fields) if fields else "no fields"
            raise UsageError(f"no field {step!r} on the way of {hint}", hint=f"there is: {known}")
        value = fields[step]
    return value


def mutate(l: Lens, v: Any, hint: str) -> None:  # noqa: E741
    """Puts a value into the dictionary that a lens leads into."""
    owner = l.start
    for step in l.steps[:-1]:
        owner = owner[step] if isinstance(owner, dict) and step in owner else None
    if not l.steps or not isinstance(owner, dict):
        raise UsageError(f"{hint} cannot be assigned to", hint="only fields of a dictionary can")
    owner[l.steps[-1]] = v


class Lens:
    """A place reached by dots from a reference, a build, a closure or a dictionary; see `mklens`."""

    def __init__(self, ctx: LensContext, start: Any, steps: list[str]) -> None:
        self.ctx, self.start, self.steps = ctx, start, steps

    def __getattr__(self, key: str) -> Lens:
        if key.startswith("__"):  # prompts and copy ask for such names; they are reached with `get`
            raise AttributeError(key)
        return self.get(key)

    def get(self, key: str) -> Lens:
        """The lens on a field. Raises `UsageError` when there is none of that name."""
        found = Lens(self.ctx, self.start, [*self.steps, key])
        traverse(found, lens_repr(self, key))
        return found

    @property
    def optval(self) -> Any:
        return traverse(self, lens_repr(self, "optval"))

    @property
    def val(self) -> Any:
        value = traverse(self, lens_repr(self, "val"))
        if value is None:
            raise UsageError(f"{lens_repr(self, 'val')} is None", hint="use optval")
        return value

    @val.setter
    def val(self, v: Any) -> None:
        mutate(self, v, lens_repr(self, "val"))

    @property
    def refpath(self) -> RefPath:
        value = self.optval
        if not isrefpath(value):
            raise UsageError(f"{lens_repr(self, 'refpath')} is {value!r}, no path inside a derivation")
        return list(value)

    @property
    def dref(self) -> DRef:
        value = self.optval
        if isrref(value):
            return rref2dref(RRef(value))
        if not isdref(value):
            raise UsageError(f"{lens_repr(self, 'dref')} is {value!r}, no derivation")
        return DRef(value)

    @property
    def rref(self) -> RRef:
        return val2rref(self.optval, self.ctx)

    @property
    def syspath(self) -> Path:
        return val2path(self.optval, self.ctx)

    @property
    def contents(self) -> str:
        """The text of the file here."""
        return readstr(self.syspath)

    @property
    def closure(self) -> Closure:
        """The closure of the derivation here, out of the one that the lens was made from."""
        if self.ctx.closure is None:
            raise UsageError(f"{lens_repr(self, 'closure')}: the lens was not made from a closure")
        return Closure([self.dref], [self.dref], self.ctx.closure.derivations, self.ctx.S)


def mklens(
    x: Any,
    o: Path | None = None,
    b: Build | None = None,
    rref: RRef | None = None,
    ctx: Context | None = None,
    closure: Closure | None = None,
    build_output_idx: int = 0,
    S: S_ = None,
    r: Registry | None = None,
) -> Lens:
    """A lens on a reference, a path inside one, a `Build`, a closure or a dictionary.

    A build `b`, a realization `rref` or a context `ctx` say which realizations the dependencies have.
    """
    build = b if b is not None else x if isinstance(x, Build) else None
    if S is None:
        S = build.S if build is not None else r.S if r is not None else None
    if ctx is None and build is not None:
        ctx = build_context(build)
    if ctx is None and rref is not None:
        ctx = rrefctx(rref, S)
    if ctx is None and isrref(x):
        ctx = context_add(rrefctx(RRef(x), S), rref2dref(RRef(x)), [RRef(x)])
    if o is None and build is not None:
        o = build_outpaths(build)[build_output_idx]
    if closure is None and isinstance(x, Closure):
        closure = x
    return Lens(LensContext(S, o, ctx, closure), x, [])
