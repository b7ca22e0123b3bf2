"""The laws of the engine, stated over random configs and random stage graphs."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from graphs import Node, configs, graph_stage, graphs, needed
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stagedml import Config, Manager, Store, build_wrapper, instantiate, mkconfig, mkdrv, realize, realizeMany
from stagedml.config import config_dref
from stagedml.errors import ConfigError
from stagedml.hashing import hash_tree
from stagedml.reporter import Reporter
from stagedml.stage import instantiate_in
from stagedml.store import using

few = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@contextmanager
def fresh_store() -> Iterator[Store]:
    """A store for one example of a property test."""
    with tempfile.TemporaryDirectory() as folder, using(Store(f"{folder}/store")) as store:
        yield store


def shuffled(value: Any, seed: int) -> Any:
    """The same value with the keys of all its dictionaries in another order."""
    if isinstance(value, dict):
        items = [(k, shuffled(v, seed)) for k, v in value.items()]
        random.Random(seed).shuffle(items)
        return dict(items)
    return [shuffled(v, seed) for v in value] if isinstance(value, list) else value


@given(configs, st.integers())
def test_law_1_equal_configs_have_equal_references_whatever_their_key_order(
    config: dict[str, Any], seed: int
) -> None:
    """Law 1: the order in which a config was written does not count."""
    assert config_dref(mkconfig(config)) == config_dref(mkconfig(shuffled(config, seed)))


@pytest.mark.parametrize(
    ("config", "dref"),
    [
        ({"name": "a"}, "dref:6feac073d723e46ab650336ef1ca48a7-a"),
        ({"name": "lr", "lr": 2e-05, "steps": 10}, "dref:eff6c3ec4b7d4c76fdc82ad4de4c7791-lr"),
        ({"name": "ю", "x": 1}, None),
        (
            {"name": "t", "text": "Берлин", "n": None, "l": [1, 1.0, True, {"b": [], "a": {}}]},
            "dref:69acfc15ae46d03495100ef1a1853d3b-t",
        ),
    ],
)
def test_law_1_digests_are_pinned(config: dict[str, Any], dref: str | None) -> None:
    """Law 1: a few digests, literally; if one changes, every store in the world is lost."""
    if dref is None:
        with pytest.raises(ConfigError, match="not a name"):
            mkconfig(config)
    else:
        assert config_dref(mkconfig(config)) == dref


def test_law_1_another_process_computes_the_same_references(tmp_path: Path) -> None:
    """Law 1: a process with another hash seed and another locale gets the same digest."""
    code = (
        "from stagedml.config import *; "
        "print(config_dref(mkconfig({'name': 'p', 'b': {'y': 1, 'x': 'ж'}, 'a': [0.1]})))"
    )
    answers = set()
    for seed in ("0", "1"):
        env = {**os.environ, "PYTHONHASHSEED": seed, "LC_ALL": "C", "STAGEDML_STORE": str(tmp_path)}
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, env=env, check=True
        )
        answers.add(done.stdout.strip())
    answers.add(str(config_dref(mkconfig({"a": [0.1], "b": {"x": "ж", "y": 1}, "name": "p"}))))
    assert len(answers) == 1


@given(configs, configs)
def test_law_2_different_configs_have_different_references(
    one: dict[str, Any], other: dict[str, Any]
) -> None:
    """Law 2: two references are equal only when the canonical bytes are."""
    a, b = Config(one), Config(other)
    assert (config_dref(a) == config_dref(b)) == (a.bytes == b.bytes)


@given(graphs(), st.data())
@few
def test_law_2_a_change_anywhere_below_changes_the_reference_above(
    nodes: list[Node], data: st.DataObject
) -> None:
    """Law 2: another number in a dependency, however deep, gives another derivation."""
    with fresh_store():
        i = data.draw(st.integers(0, len(nodes) - 1))
        changed = [*nodes[:i], nodes[i]._replace(value=nodes[i].value + 10), *nodes[i + 1 :]]
        same = instantiate(graph_stage(nodes)).dref == instantiate(graph_stage(changed)).dref
        assert same == (f"n{i}" not in needed(nodes))


@pytest.mark.parametrize(
    "options", [{"workers": 3}, {"keep_going": True}, {"reporter": Reporter()}, {"rebuild": ["nothing"]}]
)
def test_law_2_how_to_run_is_no_part_of_the_identity(store: Store, options: dict[str, Any]) -> None:
    """Law 2: options of realize change neither derivation nor realization."""
    stage = graph_stage([Node(1, (), 1), Node(2, (0,), 1)])
    assert realize(instantiate(stage), **options) == realize(instantiate(stage))


def test_law_3_everything_is_checked_before_anything_is_built(store: Store) -> None:
    """Law 3: a bad value in the last stage fails at instantiate, and the first was not built."""
    built: list[str] = []

    def stage(m: Manager) -> Any:
        first = graph_stage([Node(1, (), 1)], built)(m)
        return mkdrv(
            m, config={"name": "last", "dep": first, "bad": {1, 2}}, realizer=build_wrapper(lambda b: None)
        )

    with pytest.raises(ConfigError, match=r"config\.bad.*a set has no stable bytes"):
        instantiate(stage)
    assert built == []
    assert os.listdir(store.dir("drv")) == []


def test_law_3_a_missing_dependency_is_named_with_its_place(store: Store) -> None:
    """Law 3: a reference that nobody knows is refused where it stands."""
    ghost = "dref:" + "0" * 32 + "-ghost"
    with pytest.raises(ConfigError, match=r"inner\[0\].*ghost is unknown"):
        instantiate(lambda m: mkdrv(m, config={"name": "x", "inner": [ghost]}))


@given(graphs())
@few
def test_law_4_realizing_twice_builds_nothing_the_second_time(nodes: list[Node]) -> None:
    """Law 4: the second run builds nothing and returns the same; the first built each stage once."""
    with fresh_store():
        built: list[str] = []
        first = realize(instantiate(graph_stage(nodes, built)))
        assert sorted(built) == sorted(needed(nodes))
        built.clear()
        assert realize(instantiate(graph_stage(nodes, built))) == first
        assert built == []


@given(graphs(), st.data())
@few
def test_law_4_a_change_rebuilds_only_what_depends_on_it(nodes: list[Node], data: st.DataObject) -> None:
    """Law 4: after changing one stage, exactly those that reach it are built."""
    with fresh_store():
        realize(instantiate(graph_stage(nodes)))
        i = data.draw(st.integers(0, len(nodes) - 1))
        changed = [*nodes[:i], nodes[i]._replace(value=nodes[i].value + 10), *nodes[i + 1 :]]
        built: list[str] = []
        realize(instantiate(graph_stage(changed, built)))
        touched = {i}
        for j, node in enumerate(nodes):
            if touched & set(node.deps):
                touched.add(j)
        assert set(built) == {f"n{j}" for j in touched} & needed(nodes)


@given(graphs())
@few
def test_law_5_published_artifacts_are_read_only_and_whole(nodes: list[Node]) -> None:
    """Law 5: what is published cannot be written to, and holds exactly its manifest."""
    with fresh_store() as store:
        rref = realize(instantiate(graph_stage(nodes)))
        record = store.record(rref)
        assert hash_tree(record.out) == record.files
        for folder, _, files in os.walk(record.out):
            assert os.stat(folder).st_mode & 0o222 == 0
            assert all(os.stat(os.path.join(folder, f)).st_mode & 0o222 == 0 for f in files)
        assert os.listdir(store.dir("tmp")) == []


@given(graphs(), st.integers(0, 6))
@few
def test_law_5_a_failure_publishes_nothing_of_the_stage_that_failed(nodes: list[Node], at: int) -> None:
    """Law 5: a realizer that raises leaves no realization; what was built before stays and is reused."""
    with fresh_store() as store:
        built: list[str] = []
        victim = sorted(needed(nodes))[at % len(needed(nodes))]

        class Boom(Exception):
            pass

        def fail(b: Any) -> None:
            (b.outpath / "half").write_text("half")
            raise Boom("no")

        closure = instantiate(graph_stage(nodes, built))
        broken = next(d for d in closure.derivations if d.config.name == victim)
        good, broken.realizer = broken.realizer, fail
        with pytest.raises(Exception, match="Boom: no"):
            realize(closure)
        assert store.records(broken.dref) == []
        broken.realizer = good
        realize(closure)
        assert sorted(built) == sorted(needed(nodes))


@given(graphs(), st.integers(2, 3))
@few
def test_law_7_side_by_side_gives_the_same_realizations_as_serial(nodes: list[Node], jobs: int) -> None:
    """Law 7: with processes or without, the same references."""
    from stagedml.executors import Processes

    with fresh_store():
        serial = realizeMany(instantiate(graph_stage(nodes)))
    with fresh_store():
        assert realizeMany(instantiate(graph_stage(nodes)), executor=Processes(jobs)) == serial


@given(graphs())
@few
def test_law_10_another_store_gets_the_same_realizations(nodes: list[Node]) -> None:
    """Law 10: a deterministic stage built elsewhere, later, gives the same reference."""
    found = set()
    for _ in range(2):
        with fresh_store() as store:
            found.add(realize(instantiate_in(Manager(store), graph_stage(nodes))))
    assert len(found) == 1
