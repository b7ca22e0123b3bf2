"""TF-Models' own trainer as a stage, on the records that ours reads."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest
from test_bert_stages import FAST, records

from stagedml import DRef, Manager, Store, instantiate, mklens, realize

pytestmark = [
    pytest.mark.parity,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]

if importlib.util.find_spec("official") is None:
    pytest.skip("no tf-models-official: see `make parity`", allow_module_level=True)


def test_tfmodels_trains_on_our_records(store: Store) -> None:
    """Their trainer runs on our records, and its checkpoint becomes a folder of ours, heads and all."""
    from stagedml.stages.bert.checkpoint import load_pretraining
    from stagedml.stages.bert.official import official_minibert_pretrain

    def trained(m: Manager) -> DRef:
        return official_minibert_pretrain(m, tfrecs=records(m), train_epoches=2, **FAST)

    rref = realize(instantiate(trained))
    [[_, values]] = json.loads(Path(mklens(rref).protocol.syspath).read_text())
    assert values["steps"] == 6
    assert 0 < values["mlm_loss"] < 10
    model = load_pretraining(Path(mklens(rref).model.syspath))
    assert model.nsp is not None
    assert model.config.vocab_size == 60
