"""Which code a realizer runs: a hash for each project function, class and constant that it reaches.

White-space must never cost a three-day training run, and a changed helper must not go unnoticed. So the
fingerprint is a mapping from definitions (`stagedml.stages.glue.metrics:matthews`) to hashes of their
canonical source (`syntax.py`): a comment changes nothing, a helper two modules away changes one entry, and
the difference of two mappings says which. It is static: modules are found on the path and parsed, never
imported, because realizers import what is heavy inside their bodies.

*Project* code is the package of the realizer, whatever lies in the same directory tree, and the stage
collection; not the engine, the standard library or installed packages, whose versions the provenance has.
Not seen: data files, programs run as processes, and names made up at run time.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from types import CellType, CodeType, FunctionType, MethodType, ModuleType
from typing import TYPE_CHECKING, Literal

from stagedml.fingerprint.sources import ENGINE, Modules, is_engine, module_name

if TYPE_CHECKING:
    import ast

    from stagedml.fingerprint.syntax import Import, Ref, Source

Fingerprint = dict[str, str]
Change = tuple[Literal["added", "changed", "removed"], str]
UNKNOWN = "unknown"

_HASH_CHARS = 16
_PLAIN = (bool, int, float, complex, str, bytes, type(None))


def fingerprint(func: Callable[..., object]) -> Fingerprint:
    """Hashes of all project definitions that `func` statically reaches, by qualified name, in order.

    Never raises for code without source (a prompt, `exec`, an extension): such a name maps to "unknown".
    """
    walk = _Walk()
    walk.enter(func)
    walk.finish()
    if walk.found:
        return dict(sorted(walk.found.items()))
    kind = func if hasattr(func, "__qualname__") else type(func)
    return {f"{getattr(kind, '__module__', None)}:{kind.__qualname__}": UNKNOWN}


def fingerprint_digest(mapping: Mapping[str, str]) -> str:
    """One digest of 32 hex digits for a whole fingerprint, whatever its order."""
    text = json.dumps(sorted(mapping.items()), separators=(",", ":"))
    return hashlib.sha256(b"stagedml fingerprint\n" + text.encode()).hexdigest()[:32]


def diff_fingerprints(old: Mapping[str, str], new: Mapping[str, str]) -> list[Change]:
    """What to tell of two fingerprints: `("changed", "pkg.metrics:f1")` and so on, by name."""
    changes: list[Change] = []
    for name in sorted({*old, *new}):
        if name not in old:
            changes.append(("added", name))
        elif name not in new:
            changes.append(("removed", name))
        elif old[name] != new[name]:
            changes.append(("changed", name))
    return changes


class _Walk:
    """Follows references from objects at hand to definitions in source; each is visited once."""

    def __init__(self) -> None:
        self.found: Fingerprint = {}
        self._modules = Modules()
        self._entered: dict[int, object] = {}
        self._pending: list[tuple[Source, str]] = []
        self._queued: set[tuple[str, str]] = set()
        self._prompt: dict[str, object] = {}

    def finish(self) -> None:
        """Visits what is queued: a list and not recursion, so that chains of calls may be long."""
        while self._pending:
            source, name = self._pending.pop()
            self._hash(source, source.definitions(name), key=f"{source.name}:{name}")

    def enter(self, obj: object) -> None:
        """Adds what an object at hand (a function, class, partial, method, callable) reaches."""
        if id(obj) in self._entered:
            return
        self._entered[id(obj)] = obj
        if isinstance(obj, partial):
            for part in (obj.func, *obj.args, *obj.keywords.values()):
                if callable(part):
                    self.enter(part)
        elif isinstance(obj, MethodType):
            self.enter(obj.__func__)
            self.enter(obj.__self__ if isinstance(obj.__self__, type) else type(obj.__self__))
        elif isinstance(obj, FunctionType):
            self._enter_function(obj)
        elif isinstance(obj, type):
            self._enter_class(obj)
        elif not isinstance(obj, ModuleType):
            self.enter(type(obj))
        wrapped = getattr(obj, "__wrapped__", None)
        if callable(wrapped):
            self.enter(wrapped)

    def _enter_class(self, kind: type) -> None:
        module = sys.modules.get(kind.__module__)
        file = getattr(module, "__file__", None)
        if not self._modules.adopt(kind.__module__, file):
            return
        name = module_name(kind.__module__)
        source = self._modules.source(name) or self._modules.source_of_file(name, file or "")
        outermost = kind.__qualname__.partition(".")[0]
        if source is None or not self._reach(source, outermost):
            self.found[f"{name}:{kind.__qualname__}"] = UNKNOWN

    def _enter_function(self, func: FunctionType) -> None:
        code = func.__code__
        module = str(func.__globals__.get("__name__", func.__module__))
        if not self._modules.adopt(module, code.co_filename):
            return
        name = module_name(module)
        key = f"{name}:{code.co_qualname}"
        source = self._modules.source_of_file(name, code.co_filename)
        chain = source.find(code.co_qualname, code.co_firstlineno, _somewhere_in(code)) if source else []
        if source is None or not chain:
            self.found[key] = UNKNOWN
            return
        if source.path is None:
            self._prompt = func.__globals__
        if len(chain) > 1 or not self._reach(source, code.co_name):
            self._hash(source, [chain[-1]], key=key, outer=chain[:-1])
        self._enter_annotations(source, chain[-1])
        for variable, cell in zip(code.co_freevars, func.__closure__ or (), strict=False):
            self._value(f"{key}({variable})", _contents(cell))

    def _enter_annotations(self, source: Source, node: ast.AST) -> None:
        """The classes of a realizer's parameters: it may call their methods without naming them."""
        from stagedml.fingerprint.syntax import parameter_types

        for annotation in parameter_types(node):
            for ref in source.references(annotation):
                self._targets(source, ref)

    def _value(self, key: str, value: object, attrs: tuple[str, ...] = ()) -> bool:
        """Adds what a variable at hand holds: the value if it is plain, else the code it stands for."""
        for attr in attrs:
            if isinstance(value, ModuleType):
                value = getattr(value, attr, None)
        if isinstance(value, _PLAIN):
            self.found[key] = _sha(f"{type(value).__name__}:{value!a}")
            return True
        if callable(value):
            self.enter(value)
        return callable(value)

    def _hash(
        self, source: Source, nodes: Sequence[ast.AST], *, key: str, outer: Sequence[ast.AST] = ()
    ) -> None:
        from stagedml.fingerprint.syntax import canonical

        scopes = source.scopes(outer)
        texts: list[str] = []
        targets: set[str] = set()
        try:
            for node in nodes:
                skip = self._engine_decorators(source, node)
                texts.append(canonical(node, skip))
                for ref in source.references(node, scopes, skip=skip):
                    targets.update(f"{ref.root}={target}" for target in self._targets(source, ref))
            self.found[key] = _sha("\n".join([*texts, *sorted(targets)]))
        except RecursionError:  # an expression nested deeper than this process can walk
            self.found[key] = UNKNOWN

    def _engine_decorators(self, source: Source, node: ast.AST) -> frozenset[ast.AST]:
        """`@stage(version=1, toy=...)` says how to run; what of it is identity is in the config already."""
        decorators = getattr(node, "decorator_list", [])
        return frozenset(
            d
            for d in decorators
            for ref in source.references(getattr(d, "func", d))
            for imported in source.bindings.get(ref.root, ())
            if isinstance(imported, tuple) and is_engine(imported.module)
        )

    # from names to definitions; each method gives the targets as text, to be hashed with who refers to them

    def _targets(self, source: Source, ref: Ref) -> list[str]:
        if not ref.imports:
            return list(self._lookup(source, ref.root, ref.attrs, set(), inside=True))
        return [target for bound in ref.imports for target in self._follow(bound, ref.attrs, set())]

    def _reach(self, source: Source, name: str) -> bool:
        if not source.definitions(name):
            return False
        if (source.name, name) not in self._queued:
            self._queued.add((source.name, name))
            self._pending.append((source, name))
        return True

    def _lookup(
        self,
        source: Source,
        name: str,
        attrs: tuple[str, ...],
        seen: set[tuple[str, str]],
        *,
        inside: bool = False,
    ) -> Iterator[str]:
        if (source.name, name) in seen:
            return
        seen.add((source.name, name))
        if self._reach(source, name):
            yield f"{source.name}:{name}"
        bound = source.bindings.get(name, ())
        for entry in bound:
            if isinstance(entry, tuple):
                yield from self._follow(entry, attrs, seen)
        if bound or (inside and self._lookup_prompt(source, name, attrs)):
            return
        for star in reversed(source.stars):
            starred = self._modules.source(star)
            targets = [f"{star}.*"] if starred is None else list(self._lookup(starred, name, attrs, seen))
            if targets:
                yield from targets
                return
        if not inside and self._modules.place(f"{source.name}.{name}") is not None:
            yield from self._module(f"{source.name}.{name}", attrs, seen)
        elif not inside and self._reach(source, "__getattr__"):
            yield f"{source.name}:{name}"

    def _lookup_prompt(self, source: Source, name: str, attrs: tuple[str, ...]) -> bool:
        """A name used at a prompt is defined by an earlier input: it is in the interpreter, not in a file."""
        known = source.path is None and name in self._prompt
        return known and self._value(f"{source.name}:{name}", self._prompt[name], attrs)

    def _follow(self, bound: Import, attrs: tuple[str, ...], seen: set[tuple[str, str]]) -> Iterator[str]:
        if bound.name is None:
            yield from self._module(bound.module, attrs, seen)
        else:
            yield from self._module(bound.module, (bound.name, *attrs), seen)

    def _module(self, module: str, attrs: tuple[str, ...], seen: set[tuple[str, str]]) -> Iterator[str]:
        source = self._modules.source(module)
        if attrs and (source is not None or self._modules.is_project(f"{module}.{attrs[0]}")):
            if source is None:  # the engine's package, on the way to the collection in it
                yield from self._module(f"{module}.{attrs[0]}", attrs[1:], seen)
                return
            targets = list(self._lookup(source, attrs[0], attrs[1:], seen))
            yield from targets or [f"{module}.{attrs[0]}"]
        elif attrs or source is None:
            place = ENGINE if is_engine(module) else module
            yield f"{place}.{attrs[0]}" if attrs else place
        else:  # the module itself is handed on: all of it may be used
            for name in source.bindings:
                self._reach(source, name)
            yield f"{module}:*"


def _somewhere_in(code: CodeType) -> tuple[int, int]:
    """A line and column inside the code: tells two lambdas of one line apart."""
    for line, _, column, end in code.co_positions():
        if line and column is not None and end:
            return line, column
    return code.co_firstlineno, 0


def _contents(cell: CellType) -> object:
    try:
        return cell.cell_contents
    except ValueError:  # the variable is not set yet
        return None


def _sha(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:_HASH_CHARS]
