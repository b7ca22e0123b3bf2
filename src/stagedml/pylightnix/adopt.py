"""Bringing the realizations of a Pylightnix 0.3.0 storage into a store of this project.

Nothing is believed: a config has to have the digest that its folder is named after, an artifact folder too,
and the context of a realization has to name, for exactly its dependencies, realizations that were taken in
themselves and that agree with each other. What fails is refused with the reason, and so is what was built
from it. References change, because the digests are this project's; the new ones are those that the same
stages have under `stagedml.pylightnix`, which then find everything built.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from typing import Any, NamedTuple

from stagedml.config import config_dref
from stagedml.disk import remove_tree
from stagedml.errors import MissingError, StagedmlError
from stagedml.pylightnix.build import START, STOP
from stagedml.pylightnix.publishing import publish_folder
from stagedml.pylightnix.storage import mkconfig, to_engine
from stagedml.pylightnix.types import Config, DRef, RRef
from stagedml.pylightnix.utils import (
    isdref,
    kahntsort,
    parsetime,
    scanref_dict,
    traverse_dict,
    tryread,
)
from stagedml.store import Store, current_store

STORAGE = "store-v0"
RECORDS = ("context.json", "group.json")
PIECE = 1 << 20


class Adopted(NamedTuple):
    """What came of it: old reference -> new reference, and old reference -> why it was refused."""

    drefs: dict[str, DRef]
    rrefs: dict[str, RRef]
    refused: dict[str, str]


class _Refusal(Exception):
    """Why one thing is not taken in."""


def adopt(path: str | os.PathLike[str], store: Store | None = None) -> Adopted:
    """Copies every sound realization of a Pylightnix storage (or of a root with `store-v0` in it).

    What was adopted before is found again and not copied twice. Raises `MissingError` when `path` is no
    storage. The storage itself is only read.
    """
    folder = os.path.abspath(path)
    if os.path.isdir(f"{folder}/{STORAGE}"):
        folder = f"{folder}/{STORAGE}"
    return _Adoption(folder, store if store is not None else current_store()).run()


class _Adoption:
    def __init__(self, folder: str, store: Store) -> None:
        self.folder, self.store = folder, store
        self.result = Adopted({}, {}, {})
        self._configs: dict[str, dict[str, Any]] = {}
        self._contexts: dict[str, dict[str, list[str]]] = {}

    def run(self) -> Adopted:
        for name in sorted(os.listdir(self.folder) if os.path.isdir(self.folder) else ()):
            dref = f"dref:{name}"
            if isdref(dref) and os.path.isfile(f"{self.folder}/{name}/config.json"):
                self._attempt(dref, lambda d=dref: self._read_config(d))
        if not self._configs and not self.result.refused:
            raise MissingError(
                "no Pylightnix storage", where=self.folder, hint=f"it is often ~/_pylightnix/{STORAGE}"
            )
        order = kahntsort(self._configs, lambda d: self._deps(d) & self._configs.keys())
        for dref in order or []:
            self._attempt(dref, lambda d=dref: self._take_config(d))
            for rref in self._realizations(dref):
                self._attempt(rref, lambda d=dref, r=rref: self._take_realization(d, r))
        return self.result

    def _attempt(self, ref: str, take: Any) -> None:
        try:
            take()
        except _Refusal as e:
            self.result.refused[ref] = str(e)
        except StagedmlError as e:
            self.result.refused[ref] = str(e).splitlines()[0]
        except (OSError, ValueError) as e:
            self.result.refused[ref] = f"it cannot be read: {e}"

    def _deps(self, dref: str) -> set[str]:
        return {str(d) for d in scanref_dict(self._configs[dref])[0]}

    def _read_config(self, dref: str) -> None:
        with open(f"{self.folder}/{dref[5:]}/config.json", "rb") as f:
            data = f.read()
        if hashlib.sha256(data).hexdigest()[:32] != dref[5:37]:
            raise _Refusal("config.json is not the one that the folder is named after")
        fields = json.loads(data)
        if not isinstance(fields, dict) or scanref_dict(fields)[1]:
            raise _Refusal("the config is no dictionary, or names a realization")
        self._configs[dref] = fields

    def _take_config(self, dref: str) -> None:
        lost = sorted(self._deps(dref) - self.result.drefs.keys())
        if lost:
            raise _Refusal(f"its dependency {lost[0]} is not there, or was refused")
        fields = mkconfig(self._configs[dref])
        traverse_dict(fields.val, lambda _, v: self.result.drefs.get(v, v) if isdref(v) else v)
        config = to_engine(Config(fields.val))
        new = config_dref(config)
        self.store.write_config(new, config)
        self.result.drefs[dref] = new

    def _realizations(self, dref: str) -> list[str]:
        """In the order in which they were built."""
        folder = f"{self.folder}/{dref[5:]}"
        names = [n for n in os.listdir(folder) if len(n) == 32 and os.path.isdir(f"{folder}/{n}")]
        began = {n: parsetime(tryread(f"{folder}/{n}/{START}") or "") or 0.0 for n in names}
        return [f"rref:{n}-{dref[5:]}" for n in sorted(names, key=lambda n: (began[n], n))]

    def _take_realization(self, dref: str, rref: str) -> None:
        if dref not in self.result.drefs:
            raise _Refusal(f"its derivation was refused: {self.result.refused[dref]}")
        folder = f"{self.folder}/{dref[5:]}/{rref[5:37]}"
        if rref[5:37] not in {digest[:32] for digest in _digests(folder)}:
            raise _Refusal("its content is not what its name says (or was copied from another file system)")
        with open(f"{folder}/context.json", "rb") as f:
            context = self._checked_context(dref, json.loads(f.read()))
        direct = {
            str(self.result.drefs[dep]): sorted(str(self.result.rrefs[r]) for r in context[dep])
            for dep in self._deps(dref)
        }
        began, ended = (parsetime(tryread(f"{folder}/{name}") or "") for name in (START, STOP))
        seconds = ended - began if began is not None and ended is not None else 0.0
        prepared = self.store.new_tmp()
        try:
            shutil.copytree(folder, f"{prepared}/out", symlinks=True, ignore=_records_of(folder))
            for here, _, _ in os.walk(f"{prepared}/out"):
                os.chmod(here, 0o755)
            self.result.rrefs[rref] = publish_folder(
                self.store,
                self.result.drefs[dref],
                dict(sorted(direct.items())),
                f"{prepared}/out",
                began=(began or os.stat(folder).st_mtime, seconds),
                more={"adopted": {"from": self.folder, "rref": rref}},
            )
        finally:
            remove_tree(prepared)
        self._contexts[rref] = context

    def _checked_context(self, dref: str, context: Any) -> dict[str, list[str]]:
        """The context, when it names sound realizations of all dependencies that agree with each other."""
        if not isinstance(context, dict):
            raise _Refusal("its context is no dictionary")
        needed = set(self._deps(dref))
        for dep in list(needed):
            needed |= {d for r in context.get(dep, ()) for d in self._contexts.get(r, ())}
        if set(context) != needed:
            raise _Refusal("its context does not name exactly what it depends on")
        for dep, rrefs in context.items():
            for rref in rrefs:
                if rref not in self.result.rrefs or rref[38:] != dep[5:]:
                    raise _Refusal(f"it was built from {rref}, which is not there or was refused")
                for deeper, chosen in self._contexts[rref].items():
                    if sorted(context.get(deeper, ())) != sorted(chosen):
                        raise _Refusal(f"it was built from {rref}, and from other realizations than that")
        return context


def _records_of(folder: str) -> Any:
    return lambda here, names: [n for n in names if n in RECORDS] if here == folder else []


def _digests(folder: str) -> Iterator[str]:
    """The digests that Pylightnix may have given a folder.

    It hashes the contents of files, folder by folder in the order in which the file system lists them.
    """
    for order in (lambda names: None, lambda names: names.sort(), lambda names: names.sort(reverse=True)):
        digest = hashlib.sha256()
        for here, folders, names in os.walk(folder):
            order(folders)
            for name in sorted(n for n in names if not n.startswith("_")):
                _add(digest, f"{here}/{name}")
        yield digest.hexdigest()


def _add(digest: Any, path: str) -> None:
    if os.path.islink(path):
        digest.update(os.readlink(path).encode())
    with open(path, "rb") as f:
        while piece := f.read(PIECE):
            digest.update(piece)
