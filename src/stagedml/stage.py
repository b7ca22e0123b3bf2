"""Stages: functions that register derivations, and the closures that come of them.

A stage is any function `(m: Manager, ...) -> DRef`. Calling it builds nothing: it tells the manager a config,
a realizer and a matcher, and gets the reference under which the result will be found. `instantiate` calls a
stage and returns the closure of everything it needs, checked and ready to realize.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from stagedml.build import Build
from stagedml.config import (
    Config,
    config_deps,
    config_dref,
    config_place,
    config_rrefs,
    edit_config,
)
from stagedml.errors import ConfigError, MissingError
from stagedml.lens import Place, suggest
from stagedml.refs import DRef, is_dref
from stagedml.store import Store, current_store, using

Stage = Callable[..., DRef]
Realizer = Callable[[Build], None]
Edit = Callable[[dict[str, Any]], object]
RESERVED = ("name", "version", "smoke", "code")
Schema = Mapping[str, str]  # field -> annotation, of stages whose fields are known


class Derivation:
    """A config with its realizer and matcher, and how many realizations are wanted."""

    __slots__ = (
        "base",
        "config",
        "deps",
        "dref",
        "hints",
        "instances",
        "matcher",
        "realizer",
        "schema",
        "toy",
    )

    def __init__(self, base: Config, realizer: Realizer | None, matcher: Any) -> None:
        self.base = base  # before overrides and toy settings
        self.config = base
        self.realizer = realizer
        self.matcher = matcher
        self.instances = 1
        self.hints: dict[str, Any] = {}
        self.schema: Schema | None = None
        self.toy: Mapping[str, object] = {}
        self.deps: list[DRef] = []
        self.dref: DRef


class Override:
    """An edit of every config of a name, whichever stage registers it."""

    def __init__(self, name: str, new_config: Edit | None, new_matcher: Any = None) -> None:
        self.name, self.new_config, self.new_matcher = name, new_config, new_matcher
        self.hits = 0


class Manager:
    """Collects the derivations that stages register.

    With `smoke`, toy settings apply, and what they apply to (and all that depends on it) is marked in its
    config; the rest, such as a download, is what it always was. `strict` gives the digest of a realizer's
    code (`stagedml.code.strict`), which then is part of every identity: any change of code is another
    derivation.
    """

    def __init__(
        self,
        store: Store | None = None,
        *,
        smoke: bool = False,
        strict: Callable[[Realizer], str] | None = None,
    ) -> None:
        self.store = store if store is not None else current_store()
        self.smoke = smoke
        self.strict = strict
        self.derivations: dict[DRef, Derivation] = {}
        self.overrides: list[Override] = []

    def register(self, d: Derivation, *, replace: bool = False) -> DRef:
        """Adds a derivation; one that is there already is merged with. Raises `ConfigError`."""
        d.config = self._edited(d)
        _check_schema(d)
        d.dref = config_dref(d.config)
        d.deps = config_deps(d.config)
        for dep in d.deps:
            self._require(dep, d)
        for rref in config_rrefs(d.config):
            try:
                self.store.record(rref)
            except MissingError as e:
                raise ConfigError(f"{rref} is not in the store", where=config_place(d.config, rref)) from e
        known = self.derivations.get(d.dref)
        if known is not None and not replace:
            _merge(known, d)
        self.derivations[d.dref] = d
        self.store.remember(d.dref, d.config, d)
        return d.dref

    def _edited(self, d: Derivation) -> Config:
        config = d.base
        if self.smoke and (d.toy or any(self._is_toy(dep) for dep in config_deps(config))):
            config = edit_config(config, lambda c: c.update(d.toy, smoke=True))
        if self.strict is not None and d.realizer is not None:
            code = self.strict(d.realizer)
            config = edit_config(config, lambda c: c.update(code=code))
        for override in self.overrides:
            if override.name == config.name:
                override.hits += 1
                if override.new_config is not None:
                    config = edit_config(config, override.new_config)
                if override.new_matcher is not None:
                    d.matcher = override.new_matcher
        return config

    def _is_toy(self, dep: DRef) -> bool:
        return dep in self.derivations and "smoke" in self.derivations[dep].config

    def _require(self, dep: DRef, d: Derivation) -> None:
        if dep in self.derivations:
            return
        known = self.store.derivation(dep)
        if known is not None:  # registered by another closure of this process
            for inner in known.deps:
                self._require(inner, known)
            self.derivations[dep] = known
            return
        try:
            config = self.store.config(dep)
        except MissingError as e:
            raise ConfigError(
                f"the dependency {dep} is unknown",
                where=config_place(d.config, dep),
                hint="pass the stage itself, or the reference that it returned for this manager",
            ) from e
        found = Derivation(config, None, None)  # only what is realized already can be used
        found.dref, found.deps = dep, config_deps(config)
        self.derivations[dep] = found

    def reachable(self, target: DRef) -> list[Derivation]:
        """The derivations that `target` needs, itself last, each after its dependencies."""
        order: list[Derivation] = []
        done: set[DRef] = set()
        stack: list[tuple[DRef, Iterator[DRef]]] = [(target, iter(self.derivations[target].deps))]
        open_ = {target}
        while stack:
            dref, rest = stack[-1]
            dep = next(rest, None)
            if dep is None:
                stack.pop()
                done.add(dref)
                order.append(self.derivations[dref])
            elif dep not in done and dep not in open_ and dep in self.derivations:
                open_.add(dep)
                stack.append((dep, iter(self.derivations[dep].deps)))
        return order


class Closure:
    """A target with all that it needs. `mklens(closure)` reads its configs before anything is built."""

    __slots__ = ("derivations", "dref", "store")

    def __init__(self, store: Store, dref: DRef, derivations: list[Derivation]) -> None:
        self.store = store
        self.dref = dref
        self.derivations = derivations

    @property
    def lens_place(self) -> Place:
        return Place(self.store, self.dref)

    def __repr__(self) -> str:
        return f"Closure({self.dref}, {len(self.derivations)} derivations)"


def instantiate(stage: Stage, *args: Any, **kwargs: Any) -> Closure:
    """Calls a stage with a fresh manager and returns the closure of what it needs; nothing is built.

    All configs are computed and checked here. Raises `ConfigError` for anything wrong with them.
    """
    return instantiate_in(Manager(), stage, *args, **kwargs)


def instantiate_in(m: Manager, stage: Stage, /, *args: Any, **kwargs: Any) -> Closure:
    """`instantiate` with a manager of one's own (another store, smoke settings, overrides)."""
    with using(m.store):
        dref = stage(m, *args, **kwargs)
    if not is_dref(dref) or dref not in m.derivations:
        raise ConfigError(
            f"the stage returned {dref!r}, not a reference of this manager",
            where=stage_name(stage),
            hint="a stage ends with `return mkdrv(m, ...)` or with a call of another stage",
        )
    for override in m.overrides:
        if not override.hits:
            names = {d.base.name for d in m.derivations.values()}
            raise ConfigError(
                f"no stage named {override.name!r} to override", hint=suggest(override.name, names)
            )
    return Closure(m.store, DRef(dref), m.reachable(DRef(dref)))


def mkdrv(
    m: Manager,
    config: Config | Mapping[str, object],
    matcher: Any = None,
    realizer: Realizer | None = None,
    *,
    num_instances: int = 1,
) -> DRef:
    """Registers a derivation and returns its reference. Without a matcher, the latest realization counts."""
    base = config if isinstance(config, Config) else Config(config)
    d = Derivation(base, realizer, matcher)
    d.instances = num_instances
    return m.register(d)


def build_wrapper(f: Callable[[Build], Any]) -> Realizer:
    """A realizer from a function of a `Build`."""
    return f


def redefine(stage: Stage, new_config: Edit | None = None, new_matcher: Any = None) -> Stage:
    """The stage with its config or matcher changed; what depends on the result depends on the changed one.

    `new_config` gets the config as a dictionary and changes it, or returns a new one (or `mkconfig(...)`).
    """

    def redefined(m: Manager, *args: Any, **kwargs: Any) -> DRef:
        old = m.derivations[stage(m, *args, **kwargs)]
        base = edit_config(old.base, new_config) if new_config is not None else old.base
        d = Derivation(base, old.realizer, new_matcher if new_matcher is not None else old.matcher)
        d.instances, d.hints, d.schema, d.toy = old.instances, old.hints, old.schema, old.toy
        return m.register(d, replace=True)

    redefined.__name__ = f"redefined_{stage_name(stage)}"
    redefined.__doc__ = stage.__doc__
    return redefined


def override(stage: Stage, name: str, new_config: Edit | None = None, new_matcher: Any = None) -> Stage:
    """The stage with every config named `name` in its closure changed, however deep it lies.

    `instantiate` raises `ConfigError` when nothing of that name was met.
    """

    def overridden(m: Manager, *args: Any, **kwargs: Any) -> DRef:
        m.overrides.append(Override(name, new_config, new_matcher))
        return stage(m, *args, **kwargs)

    overridden.__name__ = f"overridden_{stage_name(stage)}"
    overridden.__doc__ = stage.__doc__
    return overridden


def stage_name(stage: Any) -> str:
    """How to call a stage in messages; partials are called as what they wrap."""
    while hasattr(stage, "func"):
        stage = stage.func
    return str(getattr(stage, "__name__", stage))


def realizer_function(realizer: Any) -> Any:
    """The function that an author wrote, below the engine's wrapping (see `StageFunction`)."""
    owner = getattr(realizer, "__self__", None)
    return getattr(owner, "__wrapped__", realizer)


_PLAIN: dict[str, tuple[type, ...]] = {"int": (int,), "float": (float, int), "str": (str,), "bool": (bool,)}


def _check_schema(d: Derivation) -> None:
    """Refuses unknown fields and values of the wrong plain type; an int for a float becomes one."""
    if d.schema is None:
        return
    fields = d.config.peek()
    changed: dict[str, float] = {}
    for field, value in fields.items():
        if field in RESERVED:
            continue
        if field not in d.schema:
            raise ConfigError(f"no field {field!r}", where=d.config.name, hint=suggest(field, d.schema))
        kinds = [k.strip() for k in d.schema[field].split("|")]
        if not all(k in _PLAIN or k == "None" for k in kinds) or (value is None and "None" in kinds):
            continue
        allowed: Iterable[type] = {t for k in kinds for t in _PLAIN.get(k, ())}
        if type(value) not in allowed:
            raise ConfigError(
                f"the field {field!r} wants {' or '.join(kinds)}, not {value!r}", where=d.config.name
            )
        if type(value) is int and "float" in kinds and "int" not in kinds:
            changed[field] = float(value)
    if changed:
        d.config = edit_config(d.config, lambda c: c.update(changed))


def _merge(known: Derivation, new: Derivation) -> None:
    """Combines two registrations of one derivation; they must agree on how it is built."""
    old_f, new_f = realizer_function(known.realizer), realizer_function(new.realizer)
    name = new.config.name
    if old_f is not None and new_f is not None and old_f is not new_f:
        old_q, new_q = (f"{f.__module__}.{f.__qualname__}" for f in (old_f, new_f))
        if old_q != new_q:
            raise ConfigError(
                f"two stages have one config: {old_q} and {new_q}", where=name, hint="give one another name"
            )
    if new.matcher is None:
        new.matcher = known.matcher
    elif known.matcher is not None and repr(known.matcher) != repr(new.matcher):
        raise ConfigError(
            f"two matchers for one derivation: {known.matcher!r} and {new.matcher!r}",
            where=name,
            hint="choose one with redefine(stage, new_matcher=...)",
        )
    new.instances = max(new.instances, known.instances)
    new.hints = {**known.hints, **{k: v for k, v in new.hints.items() if v is not None}}
