"""Where a realization lies, and links to it that also protect it from garbage collection."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from stagedml.refs import RRef
from stagedml.store import current_store


def rref2path(rref: RRef) -> str:
    """The folder of a realization's artifacts. Raises `MissingError`."""
    return current_store().path_of(rref)


def linkrref(rref: RRef, path: str | os.PathLike[str] | Sequence[str], *, verbose: bool = False) -> str:
    """Makes `path`, or the path of the given parts, a link to a realization's artifacts; returns it.

    As long as the link stands, the realization and all that it was built from are kept. An older link of
    that name is replaced. `verbose` says so on stderr. Raises `ConfigError` where something else is there.
    """
    from stagedml.garbage import link

    parts = [os.fspath(path)] if isinstance(path, (str, os.PathLike)) else list(path)
    made = link(current_store(), rref, os.path.join(*parts))
    if verbose:
        print(f"{os.path.relpath(made)} -> {rref}", file=sys.stderr)
    return made
