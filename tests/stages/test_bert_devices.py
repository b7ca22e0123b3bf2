"""The same training on one device, on several, in several processes, and on JAX."""

from __future__ import annotations

import importlib.util
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from bert_tools import largest_difference

pytestmark = pytest.mark.slow

TRAIN = """
import sys
from contextlib import nullcontext
kind, out, tests, precision, dropout = sys.argv[1:6]
sys.path.insert(0, tests)
strategy = None
if kind != "single":
    import keras
    from stagedml.stages.bert.devices import strategy_of
    if kind.startswith("mirrored") and keras.backend.backend() == "tensorflow":
        import tensorflow as tf
        cpu = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    strategy = strategy_of(kind)
import numpy as np
from bert_tools import pretraining_arrays, small_config, weights_of
from stagedml.stages.bert.batches import shuffled_batches
from stagedml.stages.bert.model import BertPretraining, initialize
from stagedml.stages.bert.objectives import pretraining_objective
from stagedml.stages.bert.train import OptimizerSpec, Runtime, TrainSpec, evaluate, train
with strategy.scope() if strategy else nullcontext():
    config = small_config() if dropout else small_config().without_dropout()
    model = BertPretraining(config, precision=precision)
initialize(model, 1)
frozen = {"encoder.embeddings.segment": 0}
optimizer = OptimizerSpec(lr=3e-3, warmup_steps=3, horizon=40, layer_multipliers=frozen)
spec = TrainSpec(steps=8, seed=5, log_every=2, optimizer=optimizer, accumulate=2)
data = shuffled_batches(pretraining_arrays(), 8, seed=3)
result = train(model, pretraining_objective(), data, spec=spec, runtime=Runtime(strategy=strategy))
loss = [v for _, v in result.curve("train", "loss")]
loss.append(evaluate(model, pretraining_objective(), [next(iter(data(9)))])["loss"])
np.savez(out, loss=np.array(loss), **weights_of(model))
"""


def start(
    kind: str, out: Path, *, precision: str = "float32", dropout: bool = False, **env: str
) -> subprocess.Popen[bytes]:
    """A training in a process of its own; what it ends with goes to `out`."""
    tests = str(Path(__file__).parent)
    command = [sys.executable, "-c", TRAIN, kind, str(out), tests, precision, "dropout" * dropout]
    return subprocess.Popen(command, env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", **env})


def finish(*processes: subprocess.Popen[bytes]) -> None:
    """Waits; all must succeed, and none is left behind."""
    try:
        assert [p.wait(timeout=300) for p in processes] == [0] * len(processes)
    finally:
        for p in processes:
            if p.poll() is None:
                p.kill()
                p.wait()


def read(path: Path) -> dict[str, np.ndarray]:
    """What a training ended with."""
    with np.load(path) as f:
        return dict(f)


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> dict[str, np.ndarray]:
    """The result on one device."""
    out = tmp_path_factory.mktemp("single") / "out.npz"
    finish(start("single", out))
    return read(out)


def test_two_devices_equal_one(tmp_path: Path, single: dict[str, np.ndarray]) -> None:
    """Mirrored on two devices, the loss and the weights are those of one device, within rounding."""
    finish(start("mirrored:2", tmp_path / "out.npz"))
    assert largest_difference(read(tmp_path / "out.npz"), single) < 1e-5


def test_two_workers_equal_one(tmp_path: Path, single: dict[str, np.ndarray]) -> None:
    """Two processes on loopback end with one process's loss and weights, and with each other's bits."""
    ports = []
    sockets = [socket.socket() for _ in range(2)]
    for s in sockets:
        s.bind(("127.0.0.1", 0))
        ports.append(s.getsockname()[1])
    for s in sockets:
        s.close()
    workers = []
    for i in range(2):
        cluster = {"worker": [f"127.0.0.1:{p}" for p in ports]}
        config = {"cluster": cluster, "task": {"type": "worker", "index": i}}
        workers.append(start("workers", tmp_path / f"{i}.npz", TF_CONFIG=json.dumps(config)))
    finish(*workers)
    first, second = read(tmp_path / "0.npz"), read(tmp_path / "1.npz")
    assert largest_difference(first, second) == 0.0
    assert largest_difference(first, single) < 1e-5


needs_jax = pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="JAX is not installed")


@needs_jax
@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_jax_follows_the_same_curve(tmp_path: Path, single: dict[str, np.ndarray], precision: str) -> None:
    """The same config on JAX gives TensorFlow's losses: within 1e-4, in half precision within 1%."""
    finish(
        start("single", tmp_path / "out.npz", precision=precision, KERAS_BACKEND="jax", JAX_PLATFORMS="cpu")
    )
    tolerance = 1e-4 if precision == "float32" else 1e-2
    np.testing.assert_allclose(read(tmp_path / "out.npz")["loss"], single["loss"], rtol=tolerance)


@needs_jax
def test_two_devices_equal_one_on_jax(tmp_path: Path) -> None:
    """On JAX two devices give one's loss and weights within rounding, dropout and micro-batches included."""
    jax = {"KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"}
    two = {**jax, "XLA_FLAGS": "--xla_force_host_platform_device_count=2"}
    finish(start("single", tmp_path / "one.npz", dropout=True, **jax))
    finish(start("mirrored:2", tmp_path / "two.npz", dropout=True, **two))
    assert largest_difference(read(tmp_path / "one.npz"), read(tmp_path / "two.npz")) < 1e-5


RESUME = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from bert_tools import largest_difference, weights_of
from test_bert_train import run
folder = Path(sys.argv[2])
whole, expected = run(12)
run(7, save_final=folder)
again, result = run(12, initial=folder)
assert result.resumed_at == 7
assert result.scalars == expected.scalars
assert largest_difference(weights_of(whole), weights_of(again)) == 0.0
"""


@needs_jax
def test_jax_resumes_bit_for_bit(tmp_path: Path) -> None:
    """On JAX too a continued run, dropout and all, ends with the bits of an undisturbed one."""
    command = [sys.executable, "-c", RESUME, str(Path(__file__).parent), str(tmp_path)]
    env = {**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"}
    subprocess.run(command, env=env, check=True, timeout=300)
