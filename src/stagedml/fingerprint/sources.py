"""Where the modules of a project are, and their parsed source; nothing is imported to find out.

Modules that are loaded are asked for their file; for others the finders of the import system are, which look
into folders without running anything.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from stagedml.fingerprint.syntax import Source

ENGINE = "stagedml"
_COLLECTION = "stagedml.stages"
_INSTALLED = frozenset({"site-packages", "dist-packages"})
_MAIN = frozenset({"__main__", "__mp_main__"})

# parsed modules of this process: valid while time of change and size of the file stay the same
_parsed: dict[tuple[str, Path], tuple[tuple[int, int], Source | None]] = {}


class Place(NamedTuple):
    """Where a module is: its file, and the folders in which its submodules are."""

    path: Path | None
    folders: tuple[str, ...]


class Modules:
    """Finds and parses the modules of the project, without importing any."""

    def __init__(self) -> None:
        self._tops: set[str] = set()
        self._roots: set[Path] = set()
        self._is_project: dict[str, bool] = {}
        self._places: dict[str, Place | None] = {}
        self._sources: dict[str, Source | None] = {}

    def adopt(self, module: str, file: str | None) -> bool:
        """Whether code of `module` is the project's; the first asked for decides what that is."""
        if is_engine(module) or module == "builtins":
            return False
        name = module_name(module)
        if self._tops:
            return self.is_project(name)
        self._tops.add(name.partition(".")[0])
        path = Path(file).resolve() if file else Path("?")
        if path.is_file():
            up = name.count(".") + (path.name == "__init__.py")
            root = path.parents[min(up, len(path.parents) - 1)]
            if not _INSTALLED.intersection(root.parts):
                self._roots.add(root)
        return True

    def is_project(self, module: str) -> bool:
        if is_engine(module):
            return False
        top = module.partition(".")[0]
        if top in self._tops or top == ENGINE:
            return True
        if top not in self._is_project:
            place = None if top in sys.stdlib_module_names else self.place(top)
            files = (
                [] if place is None else [*([place.path] if place.path else []), *map(Path, place.folders)]
            )
            resolved = [file.resolve() for file in files]
            self._is_project[top] = any(
                file.is_relative_to(root) and not _INSTALLED.intersection(file.relative_to(root).parts)
                for file in resolved
                for root in self._roots
            )
        return self._is_project[top]

    def place(self, module: str) -> Place | None:
        if module not in self._places:
            self._places[module] = self._find(module)
        return self._places[module]

    def _find(self, module: str) -> Place | None:
        loaded = sys.modules.get(module)
        if loaded is not None:
            file = getattr(loaded, "__file__", None)
            return Place(Path(file) if file else None, tuple(getattr(loaded, "__path__", ())))
        parent = module.rpartition(".")[0]
        outer = self.place(parent) if parent else None
        if parent and (outer is None or not outer.folders):
            return None
        for finder in sys.meta_path:
            find_spec = getattr(finder, "find_spec", None)
            spec = find_spec(module, None if outer is None else list(outer.folders)) if find_spec else None
            if spec is not None:
                path = Path(spec.origin) if spec.has_location and spec.origin else None
                return Place(path, tuple(spec.submodule_search_locations or ()))
        return None

    def source(self, module: str) -> Source | None:
        """The parsed module; None if it is not the project's, or has no source that can be read."""
        if not self.is_project(module):
            return None
        if module not in self._sources:
            place = self.place(module)
            if place is None or (place.path is None and not place.folders):
                self._sources[module] = None
            elif place.path is None:  # a namespace package
                self._sources[module] = _parse(module, None, text="", is_package=True)
            else:
                self._sources[module] = _parse_file(module, place.path, is_package=bool(place.folders))
        return self._sources[module]

    def source_of_file(self, module: str, file: str) -> Source | None:
        """The parsed module a function at hand comes from, or the one input of a prompt that it is in."""
        path = Path(file)
        if not path.is_file():
            import linecache  # late: only code that was typed in needs it

            text = "".join(linecache.getlines(file))
            return _parse(module, None, text=text, is_package=False) if text else None
        if self._sources.get(module) is None:
            self._sources[module] = _parse_file(module, path, is_package=path.name == "__init__.py")
        return self._sources[module]


def _parse_file(module: str, path: Path, *, is_package: bool) -> Source | None:
    if path.suffix != ".py":
        return None
    try:
        stat = path.stat()
        stamp = (stat.st_mtime_ns, stat.st_size)
        cached = _parsed.get((module, path))
        if cached is None or cached[0] != stamp:
            parsed = _parse(module, path, text=path.read_bytes(), is_package=is_package)
            cached = _parsed[module, path] = (stamp, parsed)
        return cached[1]
    except OSError:  # gone or unreadable: its names are then "unknown"
        return None


def _parse(module: str, path: Path | None, *, text: str | bytes, is_package: bool) -> Source | None:
    from stagedml.fingerprint.syntax import Source

    try:
        return Source(module, path, text=text, is_package=is_package)
    except (SyntaxError, ValueError, RecursionError):  # not Python, or another version's
        return None


def is_engine(module: str) -> bool:
    inside = module == ENGINE or module.startswith(ENGINE + ".")
    return inside and not (module == _COLLECTION or module.startswith(_COLLECTION + "."))


def module_name(module: str) -> str:
    """The name by which others would import a module, also when it runs as a script."""
    if module not in _MAIN:
        return module
    main = sys.modules.get(module)
    spec = getattr(main, "__spec__", None)
    if spec is not None:
        return str(spec.name)
    file = getattr(main, "__file__", None)
    return Path(file).stem if file else module
