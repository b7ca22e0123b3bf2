"""Lenses: walking through configs, dependencies and artifacts with dots.

    mklens(rref).refbert.bert_config_template.num_hidden_layers.val
    mklens(b).counts.syspath
    mklens(config_dict).name.val += "-3L"

A lens stands at a place: a derivation, a realization, or a value in its config. A dot goes into a
dictionary, or, where the value is a reference, into what it refers to: from a realization that is the
realization it was built from (its context), from a derivation the dependency's config.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, NoReturn

from stagedml.config import Config, config_dref, is_output, is_refpath
from stagedml.errors import LensError, MissingError
from stagedml.refs import DRef, RRef, is_dref, is_rref
from stagedml.store import Store, current_store

_ABSENT = object()


class Place(NamedTuple):
    """Where a lens stands: whose config, which realization of it if any, where its outputs are."""

    store: Store
    dref: DRef | None
    out: Callable[[], str] | None = None  # the folder of artifacts
    pick: Callable[[str], list[str]] | None = None  # dependency -> the realizations that were chosen
    rref: RRef | None = None


class Lens:
    """A place in a config; see the module. Made by `mklens`."""

    __slots__ = ("_path", "_place", "_root", "_value")
    _path: tuple[str, ...]
    _place: Place
    _root: Any
    _value: Any

    def __init__(self, place: Place, root: Any, value: Any, path: tuple[str, ...]) -> None:
        set_ = object.__setattr__
        set_(self, "_place", place)
        set_(self, "_root", root)
        set_(self, "_value", value)
        set_(self, "_path", path)

    # moving

    def __getattr__(self, name: str) -> Lens:
        if name.startswith("_"):  # prompts and copy ask for such names; a field is reached with [...]
            raise AttributeError(name)
        return self[name]

    def __getitem__(self, name: str | int) -> Lens:
        here = self._follow()
        value = here._value
        if isinstance(value, dict):
            if name in value:
                return Lens(here._place, here._root, value[name], (*here._path, str(name)))
            return Lens(here._place, here._root, _ABSENT, (*here._path, str(name)))
        if isinstance(value, list) and isinstance(name, int) and -len(value) <= name < len(value):
            return Lens(here._place, here._root, value[name], (*here._path, str(name)))
        here._fail(f"nothing below {here._shown()}: it is {value!r}" if value is not _ABSENT else "")

    def _follow(self) -> Lens:
        """The lens itself, or, on a reference, the lens on what it refers to."""
        value, place = self._value, self._place
        if is_dref(value):
            if place.pick is not None:
                return mklens_rref(place.store, self._one(value))
            config = place.store.config(value).peek()
            return Lens(Place(place.store, DRef(value)), config, config, ())
        if is_rref(value):
            return mklens_rref(place.store, RRef(value))
        return self

    def _one(self, dref: str) -> RRef:
        rrefs = self._place.pick(dref) if self._place.pick else []
        if len(rrefs) != 1:
            raise LensError(
                f"{self._shown()} has {len(rrefs)} realizations here",
                hint="use .rrefs, or depend on it with a matcher that chooses one",
            )
        return RRef(rrefs[0])

    # looking

    @property
    def val(self) -> Any:
        """The value: plain data, a reference, or a declared output as a list. Raises `LensError`."""
        if self._value is _ABSENT:
            self._fail("")
        return _plain(self._value)

    @val.setter
    def val(self, value: Any) -> None:
        self._assign("val", value)

    @property
    def optval(self) -> Any:
        """The value, or None where there is none."""
        return None if self._value is _ABSENT else _plain(self._value)

    @property
    def dref(self) -> DRef:
        """The derivation that this place belongs to, or refers to."""
        if is_dref(self._value):
            return DRef(self._value)
        if is_refpath(self._value):
            return DRef(self._value[0])
        if self._path or self._place.dref is None:
            self._fail(f"{self._shown()} is no reference to a derivation")
        return self._place.dref

    @property
    def rref(self) -> RRef:
        """The realization that this place belongs to, or refers to. Raises `LensError`."""
        if is_rref(self._value):
            return RRef(self._value)
        if is_dref(self._value) or is_refpath(self._value):
            return self._one(self.dref)
        if self._path or self._place.rref is None:
            self._fail(f"{self._shown()} is no realization")
        return self._place.rref

    @property
    def rrefs(self) -> list[RRef]:
        """All realizations that were chosen for the dependency here."""
        if is_dref(self._value) and self._place.pick is not None:
            return [RRef(r) for r in self._place.pick(self._value)]
        return [self.rref]

    @property
    def refpath(self) -> list[str]:
        """The output here as a config value of another stage: `[dref, "a", "b"]`. Raises `LensError`."""
        if is_refpath(self._value):
            return list(self._value)
        if is_output(self._value) and self._place.dref is not None:
            return [str(self._place.dref), *self._value[1:]]
        if is_dref(self._value):
            self._fail(f"{self._shown()} is a whole derivation; a refpath names one of its outputs")
        self._fail(f"{self._shown()} is no output" if self._value is not _ABSENT else "")

    @property
    def syspath(self) -> str:
        """The path on this machine of the output, refpath or realization here. Raises `LensError`."""
        value, place = self._value, self._place
        if is_output(value):
            return os.path.join(self._folder(), *value[1:])
        if is_refpath(value):
            if place.pick is None:
                self._fail(f"{self._shown()} is not realized yet")
            return os.path.join(place.store.path_of(self._one(value[0])), *value[1:])
        if is_dref(value) or is_rref(value):
            return place.store.path_of(self.rref)
        if not self._path:
            return self._folder()
        self._fail(f"{self._shown()} is no output: it is {value!r}" if value is not _ABSENT else "")

    @property
    def contents(self) -> Any:
        """The config at this place; for a folder of artifacts, the sorted names in it."""
        if is_output(self._value) or is_refpath(self._value):
            return sorted(os.listdir(self.syspath))
        here = self._follow()
        return here.val

    def _folder(self) -> str:
        if self._place.out is None:
            self._fail(f"{self._shown()} is not realized yet: there is no folder")
        return self._place.out()

    # assigning (config dictionaries only)

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "val":
            self._assign(name, value)
            return
        raise LensError(f"assign to .{name}.val, not to .{name}", where=self._shown())

    def _assign(self, name: str, value: Any) -> None:
        if self._place.dref is not None or not self._path:
            raise LensError(
                "only a lens on a config dictionary can be assigned to",
                where=self._shown(),
                hint="redefine(stage, new_config=...) gives you such a dictionary",
            )
        if self._value is _ABSENT:
            self._fail("")
        owner = self._root
        for step in self._path[:-1]:
            owner = owner[int(step) if isinstance(owner, list) else step]
        last = self._path[-1]
        owner[int(last) if isinstance(owner, list) else last] = value
        object.__setattr__(self, "_value", value)

    # telling

    def __repr__(self) -> str:
        return f"Lens({self._shown()})"

    def __dir__(self) -> Iterable[str]:
        here = self._follow()
        keys = list(here._value) if isinstance(here._value, dict) else []
        return [*keys, "val", "optval", "syspath", "refpath", "dref", "rref", "rrefs", "contents"]

    def _shown(self, path: tuple[str, ...] | None = None) -> str:
        start: Any = self._place.rref or self._place.dref
        if start is None:
            start = self._root.get("name", "config") if isinstance(self._root, dict) else "config"
        return ".".join((str(start), *(self._path if path is None else path)))

    def _fail(self, what: str) -> NoReturn:
        if what:
            raise LensError(what)
        known: Any = self._root
        for step in self._path[:-1]:
            known = known[int(step) if isinstance(known, list) else step]
        raise LensError(
            f"no field {self._path[-1]!r} in {self._shown(self._path[:-1])}",
            hint=suggest(self._path[-1], known),
        )


def suggest(name: str, known: Iterable[str]) -> str:
    """`did you mean ...`, or what there is."""
    import difflib

    names = sorted(str(k) for k in known)
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.6)
    if near:
        return f"did you mean {' or '.join(near)}?"
    return f"there is: {', '.join(names)}" if names else "there is nothing"


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_plain(v) for v in value]
    if is_dref(value):
        return DRef(value)
    return RRef(value) if is_rref(value) else value


def mklens_rref(store: Store, rref: RRef) -> Lens:
    """A lens on a realization."""
    record = store.record(rref)
    config = store.config(rref.dref).peek()

    def pick(dref: str) -> list[str]:
        if dref not in record.context:
            raise MissingError(f"{rref} was not built from {dref}", where=store.path)
        return record.context[dref]

    return Lens(Place(store, rref.dref, lambda: store.path_of(rref), pick, rref), config, config, ())


def mklens(x: Any, *, store: Store | None = None) -> Lens:
    """A lens on a derivation, a realization, a build, a closure, a config or a config dictionary."""
    if isinstance(x, Lens):
        return x
    place = getattr(x, "lens_place", None)
    if place is not None:
        config = place.store.config(place.dref).peek()
        return Lens(place, config, config, ())
    if isinstance(x, Config):
        return Lens(Place(store or current_store(), config_dref(x)), x.peek(), x.peek(), ())
    if isinstance(x, dict):
        return Lens(Place(store or current_store(), None), x, x, ())
    if is_rref(x):
        return mklens_rref(store or current_store(), RRef(x))
    if is_dref(x):
        s = store or current_store()
        config = s.config(x).peek()
        return Lens(Place(s, DRef(x)), config, config, ())
    raise LensError(
        f"no lens for a {type(x).__name__}",
        hint="give a DRef, RRef, Build, config or closure; a stage becomes one by instantiate(stage)",
    )
