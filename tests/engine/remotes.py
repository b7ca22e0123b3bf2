"""Random realizations, and what they look like on disk: what the remote stores' tests share."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from stagedml import Config, RRef, Store
from stagedml.config import config_dref
from stagedml.disk import remove_tree

characters = st.characters(codec="utf-8", exclude_characters="/\0", exclude_categories=("Cs",))
names = (st.text(characters, min_size=1, max_size=6) | st.sampled_from(["a b", " ", "каталог", "字"])).filter(
    lambda n: n not in (".", "..")
)
contents = st.binary(max_size=40) | st.sampled_from([b"", b"same", b"x" * 70_000])


@st.composite
def trees(draw: Any) -> dict[str, tuple[str, bytes | str]]:
    """path -> (kind, content): files, executables, empty folders, links to something in the tree."""
    tree: dict[str, tuple[str, bytes | str]] = {}
    folders = [""]
    for _ in range(draw(st.integers(0, 7))):
        folder = draw(st.sampled_from(folders))
        name = f"{folder}{draw(names)}"
        if name in tree:
            continue
        kind = draw(st.sampled_from("ffxdl"))
        if kind == "d":
            folders.append(f"{name}/")
            tree[name] = ("d", b"")
        elif kind == "l":
            there = draw(st.sampled_from([*tree, "nowhere"]))
            tree[name] = ("l", os.path.relpath(there, os.path.dirname(name) or "."))
        else:
            tree[name] = (kind, draw(contents))
    return tree


def write_tree(root: Path, tree: dict[str, tuple[str, bytes | str]]) -> None:
    """Makes the files, folders and links."""
    root.mkdir(parents=True, exist_ok=True)
    for name, (kind, content) in tree.items():
        path = root / name
        if kind == "d":
            path.mkdir()
        elif isinstance(content, str):
            path.symlink_to(content)
        else:
            path.write_bytes(content)
            path.chmod(0o755 if kind == "x" else 0o644)


def put(
    store: Store,
    name: str,
    tree: dict[str, tuple[str, bytes | str]],
    *,
    logs: dict[str, tuple[str, bytes | str]] | None = None,
    built_from: tuple[RRef, ...] = (),
) -> RRef:
    """Publishes a tree as a realization, `logs` as its volatile output."""
    config = Config(
        {"name": name, "deps": [str(r.dref) for r in built_from], "logs": ["__volatile__", "@logs"]}
    )
    dref = config_dref(config)
    store.write_config(dref, config)
    prepared = Path(store.new_tmp())
    write_tree(prepared / "out", tree)
    write_tree(prepared / "out/@logs", logs or {})
    (prepared / "log.txt").write_text(f"built {name}\n")
    context = {str(r.dref): [str(r)] for r in built_from}
    return store.publish(
        str(prepared),
        dref,
        context=context,
        index=0,
        seed=7,
        volatile=["@logs"],
        provenance={"who": "a test"},
    )


def picture(store: Store, rref: RRef) -> dict[str, tuple[Any, ...]]:
    """Everything that can be seen of a realization: kinds, modes, times, bytes."""
    root = f"{store.path}/drv/{rref.dref.folder}/{rref.digest}"
    found: dict[str, tuple[Any, ...]] = {}
    for folder, inner, files in os.walk(root):
        for name in (*inner, *files):
            path = f"{folder}/{name}"
            st_ = os.lstat(path)
            inside = path.startswith(f"{root}/out")
            if stat.S_ISLNK(st_.st_mode):
                content: object = os.readlink(path)
            else:
                content = Path(path).read_bytes() if stat.S_ISREG(st_.st_mode) else b""
            found[path[len(root) :]] = (st_.st_mode, st_.st_mtime if inside else None, content)
    return found


def published(store: Store) -> set[RRef]:
    """All realizations of a store, each of them whole."""
    found = set()
    for dref in store.drefs():
        records, damaged = store.look(dref)
        assert not damaged
        for record in records:
            assert store.problems(record, deep=True) == []
            found.add(record.rref)
    return found


def files_of(folder: Path) -> dict[str, bytes]:
    """path -> content of everything below a folder."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@contextmanager
def workbench() -> Iterator[Path]:
    """A folder for one example of a property."""
    folder = tempfile.mkdtemp()
    try:
        yield Path(folder)
    finally:
        remove_tree(folder)
