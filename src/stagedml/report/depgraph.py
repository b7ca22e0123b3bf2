"""The picture of what stages need."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from stagedml.config import flatten, is_refpath
from stagedml.refs import DRef, is_dref
from stagedml.report.graphpicture import Box, graph_svg, write_picture
from stagedml.stage import Closure, Derivation, instantiate

NOTE_LIMIT = 30
NOTES = 2
LABELLED = 3  # beyond so many arrows into one box their names would cover one another


def depgraph(
    stages: Sequence[Callable[..., DRef] | Closure], filename: str | os.PathLike[str] = "graph.png"
) -> Path:
    """Draws the stages with everything they need as a PNG or SVG file, and returns its path.

    The data flows down: blue boxes need nothing, yellow ones are what was asked for, an arrow bears the
    config field by which the lower stage refers to the upper. Nothing is built.
    Raises `ConfigError` as `instantiate` does.
    """
    path = Path(filename)
    path.parent.mkdir(parents=True, exist_ok=True)
    boxes, edges, labels = stage_graph(stages)
    write_picture(graph_svg(boxes, edges, labels=labels), path)
    return path


def stage_graph(
    stages: Sequence[Callable[..., DRef] | Closure],
) -> tuple[dict[str, Box], list[tuple[str, str]], dict[tuple[str, str], str]]:
    """The boxes, edges and edge labels of stages and all that they need, by derivation reference."""
    closures = [s if isinstance(s, Closure) else instantiate(s) for s in stages]
    found: dict[str, Derivation] = {d.dref: d for c in closures for d in c.derivations}
    targets = {c.dref for c in closures}
    told_apart = _differences(list(found.values()))
    boxes, edges, labels = {}, [], {}
    for dref, d in found.items():
        kind = "target" if dref in targets else "" if d.deps else "source"
        boxes[dref] = Box(d.config.name, (*told_apart[dref], f"dref:{d.dref.digest[:8]}"), kind)
        deps = [dep for dep in d.deps if dep in found]
        edges += [(str(dep), dref) for dep in deps]
        if 1 < len(deps) <= LABELLED:
            labels.update({(str(dep), dref): _field(d, dep) for dep in deps})
    return boxes, edges, labels


def _field(d: Derivation, dep: str) -> str:
    """The config field that refers to a dependency, the whole of it first; "" in a collection."""
    leaves = list(flatten(d.config.peek()))  # type: ignore[arg-type]
    named = [path for path, leaf in leaves if leaf == dep]
    named += [path for path, leaf in leaves if is_refpath(leaf) and leaf[0] == dep]  # type: ignore[index]
    return next((path for path in named if path.isidentifier()), "")


def _differences(derivations: Sequence[Derivation]) -> dict[str, tuple[str, ...]]:
    """For each derivation the settings in which it differs from others of its name; of a fetch, the file."""
    by_name: dict[str, list[Derivation]] = {}
    for d in derivations:
        by_name.setdefault(d.config.name, []).append(d)
    notes: dict[str, tuple[str, ...]] = {}
    for same in by_name.values():
        plain = [_settings(d) for d in same]
        varied = [k for k in plain[0] if len({repr(p.get(k)) for p in plain}) > 1] if len(same) > 1 else []
        for d, settings in zip(same, plain, strict=True):
            shown = [_note(k, settings[k]) for k in varied if k in settings and k != "url"][:NOTES]
            if "url" in settings:
                shown.insert(0, _shortened(str(settings["url"]).rstrip("/").rsplit("/", 1)[-1]))
            notes[d.dref] = tuple(shown[:NOTES])
    return notes


def _settings(d: Derivation) -> dict[str, Any]:
    """The plain settings of a config: no references, no outputs, no long lists."""
    return {
        path: leaf
        for path, leaf in flatten(d.config.peek())  # type: ignore[arg-type]
        if isinstance(leaf, (bool, int, float, str)) and not is_dref(leaf)
    }


def _note(path: str, value: object) -> str:
    return _shortened(f"{path.rsplit('.', 1)[-1]} = {value}")


def _shortened(text: str) -> str:
    return text if len(text) <= NOTE_LIMIT else text[: NOTE_LIMIT - 1] + "…"
