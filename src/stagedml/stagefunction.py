"""The short way of writing a stage: one function, whose parameters are the config."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from stagedml.build import Build
from stagedml.config import Config, is_output
from stagedml.errors import ConfigError
from stagedml.lens import Lens, suggest
from stagedml.refs import DRef, is_dref
from stagedml.stage import RESERVED, Closure, Derivation, Manager


class Hint:
    """Marks a parameter of a stage as execution-only."""

    __slots__ = ("default",)

    def __init__(self, default: Any) -> None:
        self.default = default


def hint(default: Any = None) -> Any:
    """The default of a parameter that says how to run, not what: it is no part of the config."""
    return Hint(default)


def stage(
    *, version: int = 1, name: str | None = None, matcher: Any = None, toy: Mapping[str, object] | None = None
) -> Callable[[Callable[..., None]], StageFunction]:
    """Turns a realizer into a stage whose config fields are the realizer's parameters; see `StageFunction`.

    `version` says "the results differ now" when it is raised. `toy` are settings for a smoke run.
    """

    def wrap(f: Callable[..., None]) -> StageFunction:
        return StageFunction(f, name or f.__name__.strip("_").replace("_", "-"), version, matcher, toy or {})

    return wrap


_REQUIRED = object()


class StageFunction:
    """A stage made of one function `f(b: Build, field, field=default, ...)`.

    Called with a manager it registers a derivation whose config holds the fields, and returns the reference.
    When that is realized, `f` gets a `Build` and the fields: a dependency as a `Lens` on the realization that
    was chosen, an output or refpath as a `Path`, everything else as it is. In place of fields, `f` may take
    one dataclass: `f(b: Build, c: TrainConfig)`.
    """

    def __init__(
        self, f: Callable[..., None], name: str, version: int, matcher: Any, toy: Mapping[str, object]
    ) -> None:
        self.__wrapped__ = f
        self.__name__, self.__qualname__, self.__module__ = f.__name__, f.__qualname__, f.__module__
        self.__doc__ = f.__doc__
        self.name, self.version, self.matcher, self.toy = name, version, matcher, toy
        self.dataclass, fields = _fields(f)
        self.defaults = {k: default for k, (default, _) in fields.items()}
        self.schema = {k: kind for k, (_, kind) in fields.items()}
        for field in RESERVED:
            if field in fields:
                raise ConfigError(f"a stage cannot have a field called {field!r}", where=self.__qualname__)
        for field in toy:
            if field not in fields:
                raise ConfigError(f"toy sets {field!r}, which is no field", where=self.__qualname__)

    def __repr__(self) -> str:
        return f"<stage {self.__module__}.{self.__qualname__}>"

    def __call__(
        self,
        m: Manager,
        *args: Any,
        num_instances: int = 1,
        matcher: Any = None,
        name: str = "",
        **fields: Any,
    ) -> DRef:
        """Registers a derivation with `m` and returns its reference. Raises `ConfigError`."""
        derived = self.name == self.__name__.replace("_", "-")
        where = name or (self.__name__ if derived else self.name)
        given = self._bind(args, fields, where=where)
        config: dict[str, Any] = {"name": name or self.name, "version": self.version}
        hints: dict[str, Any] = {}
        for field, default in self.defaults.items():
            value = given.get(field, default.default if isinstance(default, Hint) else default)
            if value is _REQUIRED:
                raise ConfigError(f"the field {field!r} is missing", where=where, hint="give it by name")
            if isinstance(default, Hint):
                hints[field] = value
            else:
                config[field] = _argument(m, value)
        d = Derivation(Config(config), self._realize, matcher if matcher is not None else self.matcher)
        d.instances, d.hints, d.schema, d.toy = num_instances, hints, self.schema, self.toy
        return m.register(d)

    def _bind(self, args: tuple[Any, ...], fields: dict[str, Any], *, where: str) -> dict[str, Any]:
        names = list(self.defaults)
        if len(args) > len(names):
            raise ConfigError(f"{len(args)} values for {len(names)} fields", where=where)
        given = dict(zip(names, args, strict=False))
        for field, value in fields.items():
            if field not in self.defaults:
                raise ConfigError(f"no field {field!r}", where=where, hint=suggest(field, names))
            if field in given:
                raise ConfigError(f"the field {field!r} is given twice", where=where)
            given[field] = value
        return given

    def _realize(self, b: Build) -> None:
        values = {field: b.value(field) for field in self.defaults}
        if self.dataclass is not None:
            self.__wrapped__(b, self.dataclass(**values))
        else:
            self.__wrapped__(b, **values)


def _fields(f: Any) -> tuple[Any, dict[str, tuple[Any, str]]]:
    """(the dataclass or None, field -> (default, annotation))."""
    code = f.__code__
    names = code.co_varnames[1 : code.co_argcount + code.co_kwonlyargcount]
    kinds = {n: _kind(f.__annotations__.get(n, "")) for n in names}
    if len(names) == 1:
        kind = f.__annotations__.get(names[0])
        cls = f.__globals__.get(kind) if isinstance(kind, str) else kind
        if hasattr(cls, "__dataclass_fields__"):
            return cls, {
                n: (_dataclass_default(x), _kind(x.type)) for n, x in cls.__dataclass_fields__.items()
            }
    defaults = dict(
        zip(code.co_varnames[: code.co_argcount][::-1], (f.__defaults__ or ())[::-1], strict=False)
    )
    defaults |= f.__kwdefaults__ or {}
    return None, {n: (defaults.get(n, _REQUIRED), kinds[n]) for n in names}


def _dataclass_default(field: Any) -> Any:
    from dataclasses import MISSING

    if field.default is not MISSING:
        return field.default
    return _REQUIRED if field.default_factory is MISSING else field.default_factory()


def _kind(annotation: Any) -> str:
    return annotation if isinstance(annotation, str) else str(getattr(annotation, "__name__", annotation))


def _argument(m: Manager, value: Any) -> Any:
    """A stage argument as a config value: stages are instantiated, closures and lenses become references."""
    if isinstance(value, Closure):
        return value.dref
    if isinstance(value, Lens):
        raw = value.val
        return value.refpath if is_output(raw) else value.dref if isinstance(raw, dict) else raw
    if callable(value) and not isinstance(value, type):
        return value(m)
    if isinstance(value, (list, tuple)):
        return [_argument(m, v) for v in value]
    if isinstance(value, dict):
        return {k: _argument(m, v) for k, v in value.items()}
    return str(value) if is_dref(value) else value
