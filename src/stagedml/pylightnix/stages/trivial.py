"""Stages that need no program: given artifacts, and changed stages."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from copy import deepcopy
from typing import Any

from stagedml.pylightnix.build import build_outpath, build_wrapper
from stagedml.pylightnix.matchers import match_only
from stagedml.pylightnix.realizing import mkdrv
from stagedml.pylightnix.storage import S_, cfgdict, drefcfg_, mkconfig, tlregistry
from stagedml.pylightnix.types import (
    Build,
    Context,
    DRef,
    Hash,
    Matcher,
    Path,
    RealizeArg,
    Realizer,
    Registry,
    Stage,
    UsageError,
)
from stagedml.pylightnix.utils import datahash

ARTIFACTS = "__artifacts__"


def mknode(
    r: Registry,
    cfgdict: dict[str, Any],
    artifacts: Mapping[str, bytes] | None = None,
    name: str = "mknode",
) -> DRef:
    """A derivation with given artifacts; their digests are part of the config."""
    contents = dict(artifacts or {})
    if ARTIFACTS in cfgdict:
        raise UsageError(f"the field {ARTIFACTS!r} is reserved")
    digests: dict[str, Hash] = {k: datahash([(k, v)]) for k, v in contents.items()}
    config = {**deepcopy(cfgdict), "name": name, ARTIFACTS: digests}

    def make(b: Build) -> None:
        for file, content in contents.items():
            with open(os.path.join(build_outpath(b), file), "wb") as f:
                f.write(content)

    return mkdrv(mkconfig(config), match_only(), build_wrapper(make), r)


def redefine(
    stage: Any,
    new_config: Callable[[dict[str, Any]], Any] = lambda _: None,
    new_matcher: Matcher | None = None,
    new_realizer: Realizer | None = None,
) -> Stage:
    """The stage with its config, matcher or realizer changed; `new_config` changes the dictionary it gets.

    Unlike Pylightnix's it leaves the unchanged derivation in place, for those that depend on it.
    """

    def changed(*args: Any, r: Registry | None = None, **kwargs: Any) -> DRef:
        registry = tlregistry(r)
        if registry is None:
            raise UsageError("there is no registry", hint="pass r=, or use current_registry")
        dref = stage(*args, r=registry, **kwargs)
        old = registry.builders[dref]
        fields = cfgdict(drefcfg_(dref, registry.S))
        new_config(fields)
        config = mkconfig(fields)
        if new_realizer is not None or new_matcher is not None:
            del registry.builders[dref]  # replaced where the config stays the same; put back below if not
        new = mkdrv(config, new_matcher or old.matcher, new_realizer or old.realizer, registry)
        registry.builders.setdefault(dref, old)
        return new

    return changed


def realized(stage: Any) -> Stage:
    """The stage, refusing to be built: it has to be realized already."""

    def refuse(S: S_, dref: DRef, context: Context, rarg: RealizeArg) -> list[Path]:
        raise UsageError(f"{dref} should have been realized already")

    return redefine(stage, new_realizer=refuse)
