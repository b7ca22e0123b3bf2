"""Configs: what a derivation is identified by.

A config is an immutable JSON-like object with a `name`. Three kinds of value in it mean more than
themselves:

    "dref:..."                  a dependency
    ["dref:...", "a", "b"]      a path inside that dependency's realization (a refpath)
    [promise, "a", "b"]         an output of this derivation, checked after the build
    [claim, "a", "b"]           an output that is not checked
    [volatile, "a", "b"]        a promise that is kept and verified, but does not enter the realization's
                                digest: logs, timings
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from stagedml.errors import ConfigError
from stagedml.hashing import Json, canonical, normalize, ref_digest
from stagedml.refs import DRef, check_name, is_dref, is_rref, mkdref

DRV_TAG = "derivation:1"


class OutputMarker(str):
    """The first element of an output's config value; calling it writes that value the short way."""

    __slots__ = ()

    def __call__(self, *path: str, volatile: bool = False) -> Any:
        """`promise("a/b")` means `[promise, "a", "b"]`; `volatile=True` keeps it out of the digest."""
        parts = [part for piece in path for part in piece.split("/")]
        check_parts(parts, f"{self}({', '.join(path)})")
        return (VOLATILE if volatile and self == "__promise__" else str(self), *parts)


promise = OutputMarker("__promise__")
claim = OutputMarker("__claim__")
VOLATILE = "__volatile__"


def check_parts(parts: list[Any], where: str) -> None:
    """Raises `ConfigError` unless every part is a plain file name: no path may leave its folder."""
    if not parts:
        raise ConfigError("an output needs a file name", where=where, hint="for example promise('model.bin')")
    for part in parts:
        if not isinstance(part, str) or part in ("", ".", "..") or "/" in part or "\0" in part:
            raise ConfigError(
                f"{part!r} is no plain file name", where=where, hint="outputs stay in their folder"
            )


def is_output(value: object) -> bool:
    """Whether a config value declares an output: a promise, a volatile promise or a claim."""
    return isinstance(value, list) and bool(value) and value[0] in (promise, claim, VOLATILE)


def is_refpath(value: object) -> bool:
    """Whether a config value is a path inside a dependency; a list of dependencies is none."""
    return isinstance(value, list) and len(value) > 1 and is_dref(value[0]) and not is_dref(value[1])


class Output(NamedTuple):
    """One declared output: the field it is in, what kind of promise, its path with slashes."""

    field: str
    marker: str
    path: str


class Config:
    """An immutable config. Equal configs have equal bytes, whatever order their keys were written in."""

    __slots__ = ("_dict", "bytes", "deps", "outputs", "rrefs")

    def __init__(self, fields: Mapping[str, object]) -> None:
        plain = normalize(dict(fields))
        assert isinstance(plain, dict)  # a dict normalizes to a dict
        check_name(plain.get("name", "unnamed"))
        plain.setdefault("name", "unnamed")
        self._dict: dict[str, Json] = plain
        self.bytes = canonical(plain)
        self.deps: tuple[DRef, ...]
        self.rrefs: tuple[str, ...]
        self.outputs: tuple[Output, ...]
        self.deps, self.rrefs, self.outputs = _scan(plain)

    @property
    def name(self) -> str:
        return str(self._dict["name"])

    def __getitem__(self, key: str) -> Any:
        return _copy(self._dict[key])

    def __contains__(self, key: str) -> bool:
        return key in self._dict

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Config) and self.bytes == other.bytes

    def __hash__(self) -> int:
        return hash(self.bytes)

    def __repr__(self) -> str:
        return f"Config({self.bytes.decode()})"

    def peek(self) -> Mapping[str, Any]:
        """The fields without a copy, for reading only."""
        return self._dict

    def dict(self) -> dict[str, Any]:
        """A copy of the fields, to read or to change."""
        return {k: _copy(v) for k, v in self._dict.items()}


def mkconfig(fields: Mapping[str, object]) -> Config:
    """A config from a dictionary. Raises `ConfigError`, naming the place, for what it cannot hold."""
    return Config(fields)


def config_dref(config: Config) -> DRef:
    """The derivation reference of a config: the same in every process and on every machine."""
    return mkdref(ref_digest(DRV_TAG, config.bytes), config.name)


def config_deps(config: Config) -> list[DRef]:
    """The dependencies that a config names, each once, in the order of the canonical config."""
    return list(config.deps)


def config_rrefs(config: Config) -> list[str]:
    """The exact realizations that a config names."""
    return list(config.rrefs)


def config_place(config: Config, text: str) -> str:
    """Where in a config a string stands, for messages."""
    return next((where for where, t in _strings(config.peek(), config.name) if t == text), config.name)


def config_outputs(config: Config) -> tuple[Output, ...]:
    """Every output that a config declares, nested ones included."""
    return config.outputs


def edit_config(config: Config, edit: Callable[[dict[str, Any]], object]) -> Config:
    """A config changed by `edit`, which mutates the dictionary it gets or returns a new one (or a Config)."""
    fields = config.dict()
    result = edit(fields)
    if result is None:
        return Config(fields)
    if isinstance(result, Config):
        return result
    if isinstance(result, Mapping):
        return Config(result)
    raise ConfigError(
        f"new_config returned a {type(result).__name__}",
        where=config.name,
        hint="change the dictionary it gets, or return a dictionary or mkconfig(...)",
    )


def flatten(value: Json, path: str = "") -> Iterator[tuple[str, Json]]:
    """(path, leaf) of a JSON value; outputs and refpaths are leaves, as are empty containers."""
    if isinstance(value, dict) and value:
        for key in sorted(value):
            yield from flatten(value[key], f"{path}.{key}" if path else key)
    elif isinstance(value, list) and value and not is_output(value) and not is_refpath(value):
        for i, item in enumerate(value):
            yield from flatten(item, f"{path}[{i}]")
    else:
        yield path, value


def _strings(value: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict):
        for key, v in value.items():
            yield from _strings(v, f"{path}.{key}" if path else key)
    elif isinstance(value, list):
        for i, v in enumerate(value):
            yield from _strings(v, f"{path}[{i}]")


def _scan(fields: dict[str, Json]) -> tuple[tuple[DRef, ...], tuple[str, ...], tuple[Output, ...]]:
    """(dependencies, exact realizations, outputs) in one walk. Raises `ConfigError` for unusable outputs."""
    deps: dict[str, None] = {}
    rrefs: dict[str, None] = {}
    outputs: list[Output] = []

    def visit(value: Json, path: str) -> None:
        if isinstance(value, str):
            if is_dref(value):
                deps[value] = None
            elif is_rref(value):
                rrefs[value] = None
        elif isinstance(value, dict):
            for key, inner in value.items():
                if isinstance(inner, (str, dict, list)):
                    visit(inner, f"{path}.{key}" if path else key)
        elif isinstance(value, list):
            if is_output(value):
                check_parts(value[1:], f"config.{path}")
                outputs.append(Output(path, str(value[0]), "/".join(map(str, value[1:]))))
                return
            if is_refpath(value):
                check_parts(value[1:], f"config.{path}")
            for i, inner in enumerate(value):
                if isinstance(inner, (str, dict, list)):
                    visit(inner, f"{path}[{i}]")

    visit(fields, "")
    return tuple(DRef(d) for d in deps), tuple(rrefs), tuple(outputs)


def _copy(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _copy(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_copy(v) for v in value]
    return value
