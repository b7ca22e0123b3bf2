"""Lenses: through configs, dependencies and artifacts with dots."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from small import chain, count, measured, noisy, words

from stagedml import (
    DRef,
    Manager,
    RRef,
    Store,
    instantiate,
    match_some,
    mkconfig,
    mkdrv,
    mklens,
    realize,
    redefine,
)
from stagedml.errors import ConfigError, LensError


def test_a_closure_shows_its_configs_before_anything_is_built(store: Store) -> None:
    """A lens on a closure or derivation walks through dependencies, with nothing on disk."""
    closure = instantiate(chain, text="x y")
    assert mklens(closure).src.text.val == "x y"
    assert mklens(closure.dref).src.text.val == "x y"
    assert mklens(closure).src.dref.name == "words"
    assert os.listdir(store.dir("drv")) == []


def test_a_config_reads_the_same_before_and_after_it_lies_on_disk(store: Store) -> None:
    """The order of fields is that of their names, whoever wrote them in whichever order."""
    rref = realize(instantiate(chain))
    assert list(mklens(instantiate(chain)).contents) == list(mklens(rref, store=Store(store.path)).contents)


def test_a_realization_shows_values_and_paths(store: Store) -> None:
    """Values, outputs of this and of the realizations that it was built from, and references."""
    rref = realize(instantiate(chain))
    lens = mklens(rref)
    assert lens.times.val == 3
    assert Path(lens.out.syspath).read_text() == "9"
    assert Path(lens.src.out.syspath).read_text() == '["a", "b", "c"]'
    assert isinstance(lens.src.rref, RRef)
    assert isinstance(lens.src.val, DRef)
    assert lens.src.rref == RRef(store.record(rref).context[lens.src.val][0])
    assert lens.out.refpath == [rref.dref, "deep", "count.json"]
    assert lens.rref == rref
    assert lens.dref == rref.dref
    assert lens.syspath == store.path_of(rref)
    assert lens.contents["times"] == 3
    assert mklens(words and rref).src.contents["text"] == "a b c"


def test_a_missing_field_names_the_near_misses(store: Store) -> None:
    """A misspelled path says where it broke and what was probably meant."""
    closure = instantiate(chain)
    with pytest.raises(LensError, match=r"no field 'txet' in dref:.*-words\n.*did you mean text"):
        _ = mklens(closure).src.txet.val
    assert mklens(closure).src.txet.optval is None
    with pytest.raises(LensError, match=r"nothing below .*text: it is 'a b c'"):
        _ = mklens(closure).src.text.deeper
    with pytest.raises(LensError, match="not realized yet"):
        _ = mklens(closure).out.syspath
    with pytest.raises(LensError, match="is no output"):
        _ = mklens(closure).times.refpath


def test_a_misspelled_path_in_a_stage_fails_at_instantiate(store: Store) -> None:
    """What a stage reads from its dependencies is checked before anything is built."""

    def stage(m: Manager) -> DRef:
        below = words(m)
        return count(m, src=below, times=len(mklens(below).tekst.val))

    with pytest.raises(ConfigError, match="did you mean text"):
        instantiate(stage)


def test_config_dictionaries_can_be_assigned_to(store: Store) -> None:
    """`mklens(c).name.val += '-3L'` changes the dictionary; nothing else can be assigned to."""
    config = {"name": "x", "inner": {"layers": 6, "sizes": [1, 2]}}
    mklens(config).name.val += "-3L"
    mklens(config).inner.layers.val = 3
    mklens(config).inner.sizes[1].val = 5
    assert config == {"name": "x-3L", "inner": {"layers": 3, "sizes": [1, 5]}}
    with pytest.raises(LensError, match="no field 'layer'"):
        mklens(config).inner.layer.val = 3
    with pytest.raises(LensError, match=r"assign to \.inner\.val"):
        mklens(config).inner = 3
    with pytest.raises(LensError, match="only a lens on a config dictionary"):
        mklens(instantiate(chain)).times.val = 1
    with pytest.raises(LensError, match="only a lens on a config dictionary"):
        mklens(mkconfig(config)).inner.layers.val = 1


def test_a_refpath_leads_to_a_file_of_another_stage(store: Store) -> None:
    """A path inside a dependency is itself a dependency, and resolves to its realization."""

    def stage(m: Manager) -> DRef:
        return mkdrv(
            m, config={"name": "user", "vocab": mklens(words(m)).out.refpath}, realizer=lambda b: None
        )

    rref = realize(instantiate(stage))
    assert Path(mklens(rref).vocab.syspath).read_text() == '["a", "b", "c"]'
    assert mklens(rref).vocab.rref.name == "words"


def test_several_realizations_of_a_dependency_are_listed(store: Store) -> None:
    """`.rrefs` gives all that the matcher chose; `.rref` refuses to guess."""

    def stage(m: Manager) -> DRef:
        runs = redefine(measured, new_matcher=match_some(3))(m)
        return mkdrv(m, config={"name": "mean", "runs": runs}, realizer=lambda b: None)

    rref = realize(instantiate(stage))
    assert len(mklens(rref).runs.rrefs) == 3
    with pytest.raises(LensError, match="has 3 realizations here"):
        _ = mklens(rref).runs.rref
    assert noisy.name == "noisy"


def test_a_lens_on_something_else_says_what_it_wants() -> None:
    """The usual slip, a lens on a stage, is answered with the remedy."""
    with pytest.raises(LensError, match=r"no lens for a StageFunction\n.*instantiate\(stage\)"):
        mklens(words)
