"""What a fingerprint sees of one module: its definitions, what each refers to, and their canonical text.

Only `ast` is used and nothing is executed. The canonical text is a walk of our own over the tree, because
`ast.dump` and bytecode differ between Python versions: empty fields are left out (so a field that a newer
Python adds changes nothing), and comments, formatting, docstrings and annotations of functions are not seen.
Imports are not part of the text either; the names that they bind are resolved, and the targets are hashed.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
_BLOCKS = (ast.If, ast.Try, ast.TryStar, ast.With, ast.ExceptHandler)
_UNSEEN_FIELDS = frozenset({"ctx", "type_comment", "returns", "simple", "type_params"})
_IMPORTERS = frozenset({"import_module", "__import__"})


class Import(NamedTuple):
    """A name bound by an import: the module itself, or `name` of that module."""

    module: str
    name: str | None = None


class Ref(NamedTuple):
    """A use of `root.attrs` that is not local; bound by `imports` inside the function, else by its module."""

    root: str
    attrs: tuple[str, ...]
    imports: tuple[Import, ...]


class Scope(NamedTuple):
    """The names that one function, class or comprehension binds."""

    is_class: bool
    names: frozenset[str]
    imports: dict[str, tuple[Import, ...]]
    outside: frozenset[str]


class Source:
    """One parsed module: what each of its top-level names is bound to, in order."""

    def __init__(self, name: str, path: Path | None, *, text: str | bytes, is_package: bool = False) -> None:
        self.name, self.path, self.is_package = name, path, is_package
        self.package = name if is_package else name.rpartition(".")[0]
        self.tree = ast.parse(text)
        self.bindings: dict[str, list[Import | ast.stmt]] = {}
        self.stars: list[str] = []
        self._bind(self.tree.body)

    def _bind(self, body: Iterable[ast.stmt]) -> None:
        for node in body:
            if isinstance(node, ast.If) and _is_type_checking(node.test):
                self._bind(node.orelse)
            elif isinstance(node, (ast.Import, ast.ImportFrom)):
                for name, target in _imported(node, self.package):
                    if name == "*":
                        self.stars.append(target.module)
                    else:
                        self.bindings.setdefault(name, []).append(target)
            elif isinstance(node, _BLOCKS):
                self._bind_block(node)
            else:
                for name in _bound_by(node):
                    self.bindings.setdefault(name, []).append(node)

    def _bind_block(self, node: ast.AST) -> None:
        if isinstance(node, ast.With):
            for item in node.items:
                for name in _stored(item):
                    self.bindings.setdefault(name, []).append(node)
        for field in ("body", "handlers", "orelse", "finalbody"):
            self._bind(getattr(node, field, ()))

    def definitions(self, name: str) -> list[ast.stmt]:
        """The statements that bind a top-level name, imports aside."""
        return [node for node in self.bindings.get(name, ()) if not isinstance(node, Import)]

    def find(self, qualname: str, line: int, place: tuple[int, int]) -> list[ast.AST]:
        """From the outermost definition in to the one that `qualname` names; empty if it is not there.

        Its first line, and a line and column in it, choose between several of one name, lambdas above all.
        """
        chain: list[ast.AST] = []
        inside: ast.AST = self.tree
        for part in qualname.split("."):
            if part == "<locals>":
                continue
            nodes = [n for n in _within(inside) if _is_called(n, part)]
            if not nodes:
                return []
            at_line = [n for n in nodes if line in _lines(n)] if part == qualname.rpartition(".")[2] else []
            at_place = [n for n in at_line if isinstance(n, ast.Lambda) and _covers(n, place)]
            inside = (at_place or at_line or nodes)[-1]
            chain.append(inside)
        return chain

    def scopes(self, chain: Iterable[ast.AST]) -> tuple[Scope, ...]:
        """The scopes that enclosing definitions open, outermost first."""
        return tuple(_scope(node, self.package) for node in chain)

    def references(
        self, node: ast.AST, scopes: tuple[Scope, ...] = (), *, skip: frozenset[ast.AST] = frozenset()
    ) -> set[Ref]:
        """Every non-local name that `node` uses, with the attributes read from it."""
        found: set[Ref] = set()
        _References(self.package, found, skip).visit(node, scopes)
        return found


def canonical(node: object, skip: frozenset[ast.AST] = frozenset()) -> str:
    """The canonical text of a tree, the nodes in `skip` left out."""
    out: list[str] = []
    _write(node, out, skip, in_class=False)
    return "".join(out)


def parameter_types(node: ast.AST) -> Iterator[ast.expr]:
    """The annotations of a function's parameters."""
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
        for arg in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs):
            if arg.annotation is not None:
                yield arg.annotation


def _write(node: object, out: list[str], skip: frozenset[ast.AST], *, in_class: bool) -> None:
    if isinstance(node, ast.Constant):
        out.append(f"{type(node.value).__name__}:{node.value!a};")
    elif isinstance(node, ast.AnnAssign) and not in_class:
        if node.value is not None:
            _write(ast.Assign(targets=[node.target], value=node.value), out, skip, in_class=False)
    elif isinstance(node, ast.AST):
        out.append(f"{type(node).__name__}(")
        for field, value in _fields(node, skip):
            out.append(f"{field}=")
            if isinstance(value, list):
                out.append("[")
                for item in value:
                    _write(item, out, skip, in_class=isinstance(node, ast.ClassDef) and field == "body")
                out.append("]")
            else:
                _write(value, out, skip, in_class=False)
        out.append(")")
    else:
        out.append(f"{node!a};")


def _fields(node: ast.AST, skip: frozenset[ast.AST]) -> Iterator[tuple[str, object]]:
    """The fields that say something, whatever the Python version."""
    for field in node._fields:
        value: object = getattr(node, field, None)
        if isinstance(node, ast.JoinedStr):
            value = _merged(node.values)
        elif isinstance(value, list):
            value = [item for item in _seen(value) if item not in skip]
        elif field == "format_spec" and isinstance(value, ast.JoinedStr) and not _merged(value.values):
            value = None
        is_unseen = field in _UNSEEN_FIELDS or (field == "annotation" and isinstance(node, ast.arg))
        if not (value is None or value == [] or is_unseen):
            yield field, value


def _seen(items: list[object]) -> Iterator[object]:
    for item in items:
        no_effect = isinstance(item, ast.Expr) and isinstance(item.value, ast.Constant)
        if not (no_effect or isinstance(item, (ast.Pass, ast.Import, ast.ImportFrom))):
            yield item


def _merged(values: list[ast.expr]) -> list[ast.expr]:
    """The parts of an f-string with neighbouring texts joined: Python versions split them differently."""
    parts: list[ast.expr] = []
    for value in values:
        last = parts[-1] if parts else None
        if isinstance(value, ast.Constant) and isinstance(last, ast.Constant):
            parts[-1] = ast.Constant(str(last.value) + str(value.value))
        elif not isinstance(value, ast.Constant) or value.value != "":
            parts.append(value)
    return parts


class _References:
    def __init__(self, package: str, found: set[Ref], skip: frozenset[ast.AST]) -> None:
        self.package, self.found, self.skip = package, found, skip

    def visit(self, node: ast.AST, scopes: tuple[Scope, ...]) -> None:
        if node in self.skip:
            return
        if isinstance(node, (ast.Name, ast.Attribute)):
            self.name(node, scopes)
        elif isinstance(node, (*_FUNCTIONS, ast.ClassDef)):
            self.definition(node, scopes)
        elif isinstance(node, _COMPREHENSIONS):
            self.visit(node.generators[0].iter, scopes)
            inner = (*scopes, _scope(node, self.package))
            for child in ast.iter_child_nodes(node):
                self.visit(child, inner)
        elif isinstance(node, ast.AnnAssign):
            for part in (node.target, node.value):
                if part is not None:
                    self.visit(part, scopes)
        else:
            if isinstance(node, ast.Call):
                self.dynamic_import(node)
            for child in ast.iter_child_nodes(node):
                self.visit(child, scopes)

    def definition(self, node: ast.AST, scopes: tuple[Scope, ...]) -> None:
        inner = (*scopes, _scope(node, self.package))
        if isinstance(node, _FUNCTIONS):
            defaults = [*node.args.defaults, *(d for d in node.args.kw_defaults if d is not None)]
            decorators = [] if isinstance(node, ast.Lambda) else node.decorator_list
            for part in (*decorators, *defaults):
                self.visit(part, scopes)
            body: list[ast.expr] | list[ast.stmt]
            body = [node.body] if isinstance(node, ast.Lambda) else node.body
            for statement in body:
                self.visit(statement, inner)
        elif isinstance(node, ast.ClassDef):
            for outer in (*node.decorator_list, *node.bases, *node.keywords):
                self.visit(outer, scopes)
            for member in node.body:
                self.visit(member, inner)

    def name(self, node: ast.Name | ast.Attribute, scopes: tuple[Scope, ...]) -> None:
        attrs: list[str] = []
        value: ast.expr = node
        while isinstance(value, ast.Attribute):
            attrs.append(value.attr)
            value = value.value
        if not isinstance(value, ast.Name):
            self.visit(value, scopes)
            return
        for depth, scope in enumerate(reversed(scopes)):
            if (scope.is_class and depth > 0) or value.id in scope.outside:
                continue
            if value.id in scope.imports:
                self.found.add(Ref(value.id, tuple(reversed(attrs)), scope.imports[value.id]))
                return
            if value.id in scope.names:
                return
        self.found.add(Ref(value.id, tuple(reversed(attrs)), ()))

    def dynamic_import(self, node: ast.Call) -> None:
        called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if called in _IMPORTERS and node.args and isinstance(node.args[0], ast.Constant):
            module = node.args[0].value
            if isinstance(module, str) and not module.startswith("."):
                self.found.add(Ref(module, (), (Import(module),)))


def _scope(node: ast.AST, package: str) -> Scope:
    names: set[str] = set()
    imports: dict[str, tuple[Import, ...]] = {}
    outside: set[str] = set()
    if isinstance(node, _FUNCTIONS):
        args = node.args
        every = (*args.posonlyargs, *args.args, *args.kwonlyargs, args.vararg, args.kwarg)
        names.update(arg.arg for arg in every if arg is not None)
    for child in _own(node):
        if isinstance(child, (ast.Global, ast.Nonlocal)):
            outside.update(child.names)
        elif isinstance(child, (ast.Import, ast.ImportFrom)):
            for name, target in _imported(child, package):
                imports[name] = (*imports.get(name, ()), target)
        else:
            names.update(_binds(child))
    return Scope(isinstance(node, ast.ClassDef), frozenset(names - outside), imports, frozenset(outside))


def _own(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes of one scope: those of nested scopes are not entered."""
    if isinstance(node, _COMPREHENSIONS):
        todo: list[ast.AST] = [generator.target for generator in node.generators]
    elif isinstance(node, ast.Lambda):
        todo = [node.body]
    else:
        todo = list(getattr(node, "body", ()))
    while todo:
        child = todo.pop()
        yield child
        if isinstance(child, _COMPREHENSIONS):  # an assignment expression in it binds out here
            walrus = [n.target for n in ast.walk(child) if isinstance(n, ast.NamedExpr)]
            todo.extend(walrus)
        elif not isinstance(child, (*_FUNCTIONS, ast.ClassDef)):
            todo.extend(ast.iter_child_nodes(child))


def _binds(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Name):
        if not isinstance(node.ctx, ast.Load):
            yield node.id
    elif isinstance(node, (*_DEFINITIONS, ast.ExceptHandler, ast.MatchAs, ast.MatchStar)):
        if node.name is not None:
            yield node.name
    elif isinstance(node, ast.MatchMapping) and node.rest is not None:
        yield node.rest


def _stored(node: ast.AST) -> set[str]:
    return {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and not isinstance(n.ctx, ast.Load)}


def _bound_by(node: ast.stmt) -> set[str]:
    """The top-level names that a statement binds or, as `TABLE["x"] = 1` and `TABLE.add(1)` do, changes."""
    if isinstance(node, _DEFINITIONS):
        return {node.name}
    names = _stored(node)
    changed = [node.value] if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) else []
    targets = [*changed, *getattr(node, "targets", ()), getattr(node, "target", None)]
    for target in targets:
        value = target.func if isinstance(target, ast.Call) else target
        if isinstance(value, (ast.Attribute, ast.Subscript)):
            while isinstance(value, (ast.Attribute, ast.Subscript)):
                value = value.value
            if isinstance(value, ast.Name):
                names.add(value.id)
    if isinstance(node, (ast.For, ast.While)):
        for statement in (*node.body, *node.orelse):
            names |= _bound_by(statement)
    return names


def _imported(node: ast.Import | ast.ImportFrom, package: str) -> Iterator[tuple[str, Import]]:
    if isinstance(node, ast.Import):
        for alias in node.names:
            if alias.asname is not None:
                yield alias.asname, Import(alias.name)
            else:
                top = alias.name.partition(".")[0]
                yield top, Import(top)
        return
    module = node.module or ""
    if node.level:
        base = package.split(".")[: len(package.split(".")) - node.level + 1]
        module = ".".join([*base, module] if module else base)
    for alias in node.names:
        yield alias.asname or alias.name, Import(module, alias.name)


def _is_type_checking(test: ast.expr) -> bool:
    name = test.attr if isinstance(test, ast.Attribute) else getattr(test, "id", "")
    return name == "TYPE_CHECKING"


def _within(node: ast.AST) -> Iterator[ast.AST]:
    """Definitions and lambdas directly inside `node`, in the order of the source."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (*_DEFINITIONS, ast.Lambda)):
            yield child
            if not isinstance(child, ast.Lambda):
                for part in (*child.decorator_list, *getattr(getattr(child, "args", None), "defaults", ())):
                    yield from (n for n in ast.walk(part) if isinstance(n, ast.Lambda))
        else:
            yield from _within(child)


def _is_called(node: ast.AST, name: str) -> bool:
    return name == "<lambda>" if isinstance(node, ast.Lambda) else getattr(node, "name", None) == name


def _lines(node: ast.AST) -> set[int]:
    """The lines that a code object may give as its first."""
    decorators = getattr(node, "decorator_list", ())
    return {getattr(node, "lineno", 0), *(d.lineno for d in decorators)}


def _covers(node: ast.Lambda, place: tuple[int, int]) -> bool:
    return (node.lineno, node.col_offset) <= place < (node.end_lineno or 0, node.end_col_offset or 0)
