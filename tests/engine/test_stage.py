"""Stages: registering derivations, redefining them, and the short way of writing one."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from small import chain, count, measured, noisy, words

from stagedml import (
    Build,
    DRef,
    Lens,
    Manager,
    Store,
    build_wrapper,
    hint,
    instantiate,
    match_latest,
    match_some,
    mkconfig,
    mkdrv,
    mklens,
    override,
    promise,
    realize,
    redefine,
    stage,
)
from stagedml.errors import ConfigError


@dataclass(frozen=True)
class TrainConfig:
    """Fields of a stage with many of them."""

    src: Lens
    lr: float = 1e-3
    layers: list[int] = field(default_factory=lambda: [1, 2])
    resume: Any = hint(None)
    out: Path = promise("model")


@stage(version=2, name="trainer")
def train(b: Build, c: TrainConfig) -> None:
    """Takes a dataclass."""
    c.out.write_text(f"{c.src.text.val} {c.lr} {c.layers} {c.resume}")


def test_the_parameters_of_a_realizer_are_the_config(store: Store) -> None:
    """Name, version and fields, with their defaults; an int for a float becomes a float."""
    config = mklens(instantiate(count, src=words, rate=2)).contents
    assert config.pop("src").endswith("-words")
    assert config == {
        "name": "count",
        "version": 1,
        "times": 3,
        "rate": 2.0,
        "out": ["__promise__", "deep", "count.json"],
        "extra": ["__claim__", "extra"],
    }


def test_a_dataclass_can_hold_the_fields(store: Store) -> None:
    """Its fields are the config's; a hint reaches the realizer but is no part of the identity."""
    plain = instantiate(train, src=words)
    hinted = instantiate(train, src=words, resume="rref")
    assert plain.dref == hinted.dref
    assert plain.dref.name == "trainer"
    assert Path(mklens(realize(hinted)).out.syspath).read_text() == "a b c 0.001 [1, 2] rref"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (partial(count, src=words, tmies=3), r"no field 'tmies'\n.*did you mean times"),
        (partial(count, src=words, name="mine", tmies=3), "^mine: no field 'tmies'"),
        (partial(count), "the field 'src' is missing"),
        (partial(count, src=words, times="3"), "the field 'times' wants int, not '3'"),
        (partial(count, src=words, times=True), "the field 'times' wants int, not True"),
        (partial(count, src=words, times=1.5), "the field 'times' wants int, not 1.5"),
        (partial(words, text=None), "the field 'text' wants str, not None"),
        (partial(words, name="a/b"), "not a name"),
        (redefine(chain, new_config=lambda c: c.update(tims=3)), r"no field 'tims'\n.*did you mean times"),
        (redefine(chain, new_config=lambda c: 5), "new_config returned a int"),
        (lambda m: None, "the stage returned None"),
    ],
)
def test_a_wrong_call_fails_at_instantiate(store: Store, call: Any, message: str) -> None:
    """A misspelled or wrongly typed field never reaches a realizer."""
    with pytest.raises(ConfigError, match=message):
        instantiate(call)


def test_redefine_takes_mutation_dictionary_or_config(store: Store) -> None:
    """All three ways of saying a new config mean the same."""

    def mutate(c: dict[str, Any]) -> None:
        mklens(c).times.val = 7

    edits = [mutate, lambda c: {**c, "times": 7}, lambda c: mkconfig({**c, "times": 7})]
    assert len({instantiate(redefine(chain, new_config=e)).dref for e in edits}) == 1
    assert mklens(instantiate(redefine(chain, new_config=mutate))).times.val == 7


def test_redefine_of_a_stage_that_others_depend_on_works(store: Store) -> None:
    """Both the original and the redefined stage can be in one closure, each with its own dependants."""
    loud = redefine(words, new_config=lambda c: c.update(text="l o u d"))

    def both(m: Manager) -> DRef:
        config = {"name": "both", "one": count(m, src=words), "other": count(m, src=loud)}
        return mkdrv(m, config=config, realizer=build_wrapper(lambda b: None))

    rref = realize(instantiate(both))
    texts = [Path(mklens(rref)[k].out.syspath).read_text() for k in ("one", "other")]
    assert texts == ["9", "12"]


def test_override_reaches_a_stage_deep_in_the_closure(store: Store) -> None:
    """By name, from outside; what depends on it changes; a name that is not there is an error."""
    changed = instantiate(override(chain, "words", new_config=lambda c: c.update(text="q")))
    assert mklens(changed).src.text.val == "q"
    assert changed.dref != instantiate(chain).dref
    with pytest.raises(ConfigError, match=r"no stage named 'wrods' to override\n.*did you mean words"):
        instantiate(override(chain, "wrods", new_config=lambda c: None))


def test_override_wins_over_redefine_and_is_applied_once(store: Store) -> None:
    """The user's setting is the last word, and an edit that adds something adds it once."""
    stage_ = redefine(chain, new_config=lambda c: c.update(times=c["times"] + 10))
    closure = instantiate(override(stage_, "count", new_config=lambda c: c.update(times=c["times"] * 2)))
    assert mklens(closure).times.val == 26


def test_partials_closures_and_references_can_be_dependencies(store: Store) -> None:
    """A dependency is given as a stage, a partial, a closure of this process, or a reference."""
    drefs = {
        instantiate(count, src=partial(words, text="z")).dref,
        instantiate(count, src=instantiate(words, text="z")).dref,
        instantiate(count, src=instantiate(words, text="z").dref).dref,
        instantiate(lambda m: count(m, words(m, text="z"))).dref,
    }
    assert len(drefs) == 1


def test_two_realizers_for_one_config_are_refused(store: Store) -> None:
    """One derivation has one way of being built."""

    def clash(m: Manager) -> DRef:
        mkdrv(m, config={"name": "x"}, realizer=lambda b: None)
        return mkdrv(m, config={"name": "x"}, realizer=count._realize)

    with pytest.raises(ConfigError, match="two stages have one config"):
        instantiate(clash)


def test_two_matchers_for_one_derivation_are_refused(store: Store) -> None:
    """Which realizations count cannot depend on the order of registration."""

    def clash(m: Manager) -> DRef:
        noisy(m, src=words, matcher=match_latest())
        return noisy(m, src=words, matcher=match_some(2))

    with pytest.raises(ConfigError, match=r"two matchers .*match_latest\(1\) and match_some\(2\)"):
        instantiate(clash)


def test_a_smoke_run_uses_toy_settings_in_an_address_space_of_its_own(store: Store) -> None:
    """Toy settings apply in the whole closure, and no smoke reference equals a real one."""
    from stagedml.stage import instantiate_in

    toy = instantiate_in(Manager(store, smoke=True), chain)
    assert mklens(toy).times.val == 1
    assert mklens(toy).src.text.val == "toy"
    explicit = instantiate(chain, text="toy", times=1)
    assert toy.dref != explicit.dref


def test_the_number_of_instances_is_not_identity(store: Store) -> None:
    """Asking for five is asking for more of the same derivation."""
    assert instantiate(measured, n=1).dref == instantiate(measured, n=5).dref


@stage()
def joins(b: Build, parts: list[Lens], out: Path = promise("all.json")) -> None:
    """Depends on a list of stages."""
    out.write_text(" ".join(Path(p.out.syspath).read_text() for p in parts))


def test_a_list_of_dependencies_arrives_as_a_list_of_lenses(store: Store) -> None:
    """Two references in a list are two dependencies, not a path inside the first."""
    rref = realize(instantiate(joins, parts=[words, partial(words, text="d")]))
    assert Path(mklens(rref).out.syspath).read_text() == '["a", "b", "c"] ["d"]'
    assert [mklens(rref).parts[i].text.val for i in (0, 1)] == ["a b c", "d"]
