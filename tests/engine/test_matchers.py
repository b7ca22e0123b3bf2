"""Matchers and samples: which realizations count, how many are built, what is recorded."""

from __future__ import annotations

from typing import Any

import pytest
from small import chain, measured, several, words

from stagedml import (
    DRef,
    Manager,
    Store,
    instantiate,
    match_all,
    match_best,
    match_exact,
    match_latest,
    match_only,
    match_some,
    mkdrv,
    mklens,
    realize,
    realizeMany,
    redefine,
)
from stagedml.errors import MatchError, MissingError
from stagedml.matchers import metric_of
from stagedml.reporter import Reporter


class Counter(Reporter):
    """Counts what was built."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def built(self, d: Any, outcome: Any) -> None:
        self.names.append(d.config.name)


def test_asking_for_five_with_three_at_hand_builds_two(store: Store) -> None:
    """Instances are added, not rebuilt, and each has a seed of its own that is recorded."""
    ask = redefine(measured, new_matcher=match_some(3))
    three = realizeMany(instantiate(ask))
    counter = Counter()
    five = realizeMany(instantiate(redefine(measured, new_matcher=match_some(5))), reporter=counter)
    assert five[:3] == three
    assert counter.names == ["noisy", "noisy"]
    records = [store.record(r) for r in five]
    assert [r.instance for r in records] == [0, 1, 2, 3, 4]
    assert len({r.seed for r in records}) == 5
    assert [store.provenance(r)["seed"] for r in five] == [r.seed for r in records]


def test_num_instances_builds_that_many_and_the_matcher_chooses(store: Store) -> None:
    """Five runs are made; the best by a metric is what others depend on."""
    best = redefine(measured, new_matcher=match_best("accuracy"))
    rref = realize(instantiate(best, n=5))
    assert store.record(rref).instance == 4
    assert metric_of(store, rref, "accuracy") == pytest.approx(0.9)
    assert len(store.records(rref.dref)) == 5
    worst = redefine(measured, new_matcher=match_best("accuracy", largest=False))
    assert store.record(realize(instantiate(worst))).instance == 0


def test_the_choice_is_recorded_in_the_context_of_what_depends_on_it(store: Store) -> None:
    """Another choice of a dependency is another realization, under one derivation."""

    def user(matcher: Any) -> Any:
        def stage(m: Manager) -> DRef:
            dep = redefine(measured, new_matcher=matcher)(m, n=3)
            return mkdrv(m, config={"name": "user", "dep": dep}, realizer=lambda b: None)

        return stage

    best = realize(instantiate(user(match_best("accuracy"))))
    every = realize(instantiate(user(match_all())))
    assert best.dref == every.dref
    assert best != every
    assert [len(r) for r in store.record(best).context.values()] == [1]
    assert [len(r) for r in store.record(every).context.values()] == [3]
    assert len(mklens(every).dep.rrefs) == 3


def test_the_other_matchers(store: Store) -> None:
    """Latest, all, exact; only refuses several; exact refuses what is not at hand."""
    three = realizeMany(instantiate(redefine(measured, new_matcher=match_some(3))))
    assert realizeMany(instantiate(redefine(measured, new_matcher=match_latest()))) == three[-1:]
    assert realizeMany(instantiate(redefine(measured, new_matcher=match_latest(2)))) == three[1:]
    assert realizeMany(instantiate(redefine(measured, new_matcher=match_all()))) == three
    assert realizeMany(instantiate(redefine(measured, new_matcher=match_exact(three[1:2])))) == three[1:2]
    with pytest.raises(MatchError, match=r"3 realizations where one was expected\n.*match_best"):
        realize(instantiate(redefine(measured, new_matcher=match_only())))
    ghost = "rref:" + "0" * 32 + three[0][37:]
    with pytest.raises(MatchError, match="not at hand"):
        realize(instantiate(redefine(measured, new_matcher=match_exact([ghost]))))
    with pytest.raises(MatchError, match="3 realizations of noisy where one was asked for"):
        realize(instantiate(redefine(measured, new_matcher=match_some(3))))


def test_a_metric_that_is_not_there_names_what_is(store: Store) -> None:
    """A misspelled metric is answered with the known ones."""
    with pytest.raises(MissingError, match=r"no metric acuracy\n.*accuracy, seed"):
        realize(instantiate(redefine(measured, new_matcher=match_best("acuracy"))))
    with pytest.raises(MissingError, match="no protocol"):
        realize(instantiate(redefine(chain, new_matcher=match_best("accuracy"))))


def test_an_instance_has_the_same_seed_under_another_config(store: Store) -> None:
    """Runs of two configs under comparison start from the same random states, pair by pair."""
    ask = redefine(measured, new_matcher=match_some(2))
    seeds = [[store.record(r).seed for r in realizeMany(instantiate(ask, score=s))] for s in (0.1, 0.2)]
    assert seeds[0] == seeds[1]


def test_a_realizer_may_make_several_realizations_at_once(store: Store) -> None:
    """They are published together, as instances with seeds of their own."""
    rrefs = realizeMany(instantiate(redefine(several, new_matcher=match_some(3))))
    assert [store.record(r).instance for r in rrefs] == [0, 1, 2]
    assert len({store.record(r).seed for r in rrefs}) == 3
    assert words.name == "words"


def test_a_matcher_of_ones_own_is_a_function(store: Store) -> None:
    """It gets the store and the realizations, and returns some of them, or None to have one more built."""

    def even(s: Store, rrefs: list[Any]) -> list[Any] | None:
        return [r for r in rrefs if s.record(r).instance % 2 == 0] if len(rrefs) >= 3 else None

    rrefs = realizeMany(instantiate(redefine(measured, new_matcher=even)))
    assert [store.record(r).instance for r in rrefs] == [0, 2]
