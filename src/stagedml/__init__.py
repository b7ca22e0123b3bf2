"""Declarative, content-addressed, staged machine-learning experiments.

    from stagedml import instantiate, mklens, realize
    from stagedml.stages.all import all_minibert_finetune_glue

    rref = realize(instantiate(all_minibert_finetune_glue, task_name="MRPC"))
    mklens(rref).protocol.syspath

The words: a *stage* registers a *derivation* (a config with a realizer and a matcher); realizing its
*closure* builds the *realizations* that are missing; see `docs/concepts.md`.
"""

from stagedml.build import Build
from stagedml.config import Config, claim, mkconfig, promise
from stagedml.lens import Lens, mklens
from stagedml.matchers import (
    Matcher,
    match_all,
    match_best,
    match_exact,
    match_latest,
    match_only,
    match_some,
)
from stagedml.realize import realize, realizeMany
from stagedml.refs import DRef, RRef
from stagedml.share import Upstream, open_remotes_with
from stagedml.stage import (
    Closure,
    Manager,
    Stage,
    build_wrapper,
    instantiate,
    mkdrv,
    override,
    redefine,
)
from stagedml.stagefunction import hint, stage
from stagedml.store import Store, current_store, initialize

__version__ = "0.1.0"


def _remote(url: str) -> Upstream:
    from stagedml.remote import Remote  # late: few runs need it

    return Remote(url)


open_remotes_with(_remote)  # `realize` knows upstreams by their interface only

__all__ = [
    "Build",
    "Closure",
    "Config",
    "DRef",
    "Lens",
    "Manager",
    "Matcher",
    "RRef",
    "Stage",
    "Store",
    "build_wrapper",
    "claim",
    "current_store",
    "hint",
    "initialize",
    "instantiate",
    "match_all",
    "match_best",
    "match_exact",
    "match_latest",
    "match_only",
    "match_some",
    "mkconfig",
    "mkdrv",
    "mklens",
    "override",
    "promise",
    "realize",
    "realizeMany",
    "redefine",
    "stage",
]
