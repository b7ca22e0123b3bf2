"""Stopping before a stage, looking at its build, and going on."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from small import chain, fails, words

from stagedml import Store, instantiate, mklens, realize
from stagedml.errors import BuildError, ConfigError, MatchError
from stagedml.repl import repl_realize


def test_a_session_stops_before_a_stage_and_goes_on(store: Store) -> None:
    """The build has its dependencies; running and going on gives what realize would have given."""
    session = repl_realize(instantiate(chain), stop="count")
    assert Path(mklens(session.build).src.out.syspath).read_text() == '["a", "b", "c"]'
    session.run()
    assert session.build.outpath.joinpath("deep/count.json").read_text() == "9"
    rref = session.go_on()
    assert realize(instantiate(chain)) == rref
    with pytest.raises(ConfigError, match="this session is over"):
        session.run()


def test_an_output_made_by_hand_is_published(store: Store) -> None:
    """One may do the realizer's work oneself; promises are checked all the same."""
    session = repl_realize(instantiate(chain))
    with pytest.raises(BuildError, match="out is missing"):
        session.go_on()
    session.build.outpath.joinpath("deep/count.json").write_text("by hand")
    assert Path(mklens(session.go_on()).out.syspath).read_text() == "by hand"


def test_cancelling_leaves_no_trace(store: Store) -> None:
    """No lock, no temporary folder, no realization."""
    session = repl_realize(instantiate(chain))
    session.run()
    session.cancel()
    assert [os.listdir(store.dir(d)) for d in ("locks", "tmp")] == [[], []]
    assert store.records(instantiate(chain).dref) == []


def test_a_failing_realizer_can_be_run_again(store: Store) -> None:
    """The session stays open after an error."""
    session = repl_realize(instantiate(fails, src=words))
    for _ in range(2):
        with pytest.raises(BuildError, match="the realizer's own trouble"):
            session.run()
    session.cancel()


def test_what_cannot_be_stopped_at_is_said(store: Store) -> None:
    """An unknown name has near misses; a realized stage has nothing to stop before."""
    with pytest.raises(ConfigError, match="did you mean count"):
        repl_realize(instantiate(chain), stop="cuont")
    realize(instantiate(chain))
    with pytest.raises(MatchError, match="realized already"):
        repl_realize(instantiate(chain))
