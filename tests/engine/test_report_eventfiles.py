"""TensorBoard event files are read without TensorFlow."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from eventwriter import event, float_tensor, record, write_curve
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto

from stagedml.errors import CorruptError, DataError, MissingError
from stagedml.report.eventfiles import TensorEvent, event_tags, read_events, te2float

NAME = "events.out.tfevents.1.host.v2"


def test_a_curve_comes_back_by_step(tmp_path: Path) -> None:
    """Every value of a tag has its step, wall time and number."""
    write_curve(tmp_path / NAME, "loss", [0.5, 0.25, 0.125])
    events = read_events(tmp_path, "loss")
    assert [(e.step, e.wall_time, te2float(e)) for e in events] == [
        (0, 1.0, 0.5),
        (1, 1.0, 0.25),
        (2, 1.0, 0.125),
    ]


def test_a_continued_run_replaces_the_steps_it_repeats(tmp_path: Path) -> None:
    """Of a step that two files hold, the later counts, whatever the files are called."""
    first = [event(s, "loss", float_tensor(s), wall_time=10 + s) for s in range(4)]
    second = [event(s, "loss", float_tensor(10 + s), wall_time=20 + s) for s in range(2, 5)]
    (tmp_path / "b.tfevents.1").write_bytes(b"".join(first))
    (tmp_path / "a.tfevents.2").write_bytes(b"".join(second))
    assert [te2float(e) for e in read_events(tmp_path, "loss")] == [0, 1, 12, 13, 14]


@pytest.mark.parametrize("cut", [1, 5, 9, 14, 30])
def test_a_record_that_a_killed_writer_cut_short_is_left_out(tmp_path: Path, cut: int) -> None:
    """Whatever is whole before the cut is read."""
    path = tmp_path / NAME
    write_curve(path, "loss", [1.0, 2.0])
    path.write_bytes(path.read_bytes()[:-cut])
    assert [te2float(e) for e in read_events(tmp_path, "loss")] == [1.0]


@pytest.mark.parametrize(("place", "what"), [(3, "not an event file"), (-8, "checksum")])
def test_a_damaged_file_is_refused(tmp_path: Path, place: int, what: str) -> None:
    """A flipped bit in a length or in a payload is an error that names the file."""
    path = tmp_path / NAME
    write_curve(path, "loss", [1.0])
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(CorruptError, match=what) as caught:
        read_events(tmp_path, "loss")
    assert str(path) in str(caught.value)


def test_a_tag_that_is_not_there_is_answered_with_those_that_are(tmp_path: Path) -> None:
    """The message lists the tags; a folder without event files says so."""
    write_curve(tmp_path / NAME, "loss", [1.0])
    assert event_tags(tmp_path) == ["loss"]
    with pytest.raises(MissingError, match="there is: loss"):
        read_events(tmp_path, "accuracy")
    (tmp_path / "empty").mkdir()
    with pytest.raises(MissingError, match="no TensorBoard event files"):
        read_events(tmp_path / "empty", "loss")


@pytest.mark.parametrize(
    ("tensor", "value"),
    [
        (TensorProto(dtype=1, tensor_content=b"\0\0\x20\x41"), 10.0),
        (TensorProto(dtype=2, double_val=[0.1]), 0.1),
        (TensorProto(dtype=3, int_val=[-7]), -7.0),
        (TensorProto(dtype=9, int64_val=[2**40]), 2.0**40),
        (TensorProto(dtype=10, bool_val=[True]), 1.0),
        (TensorProto(dtype=14, half_val=[0x3FC0]), 1.5),
        (TensorProto(dtype=14, tensor_content=b"\xc0\x3f"), 1.5),
        (TensorProto(dtype=19, half_val=[0x3E00]), 1.5),
        (TensorProto(dtype=1), 0.0),
        (2.5, 2.5),
    ],
)
def test_numbers_of_all_types_become_floats(tensor: Any, value: float) -> None:
    """Tensors written by value or as bytes, half-precision ones too, and TF1's simple values."""
    assert te2float(TensorEvent(0, 0.0, "x", tensor)) == value


def test_what_is_no_number_is_refused() -> None:
    """A text or a tensor of several numbers is an error that names tag and step."""
    several = TensorProto(dtype=1, tensor_shape=TensorShapeProto(dim=[TensorShapeProto.Dim(size=3)]))
    with pytest.raises(DataError, match="'x' at step 4 holds 3 numbers"):
        te2float(TensorEvent(4, 0.0, "x", several))
    with pytest.raises(DataError, match="holds no number"):
        te2float(TensorEvent(4, 0.0, "x", TensorProto(dtype=7, string_val=[b"text"])))


def test_simple_values_are_read(tmp_path: Path) -> None:
    """The form that TF1 and other writers use."""
    summary = Summary(value=[Summary.Value(tag="loss", simple_value=0.5)])
    payload = Event(step=3, summary=summary).SerializeToString()
    (tmp_path / NAME).write_bytes(record(payload))
    assert [(e.step, te2float(e)) for e in read_events(tmp_path, "loss")] == [(3, 0.5)]


def test_reading_imports_neither_tensorflow_nor_numpy(tmp_path: Path) -> None:
    """A report must not pay seconds for a curve."""
    write_curve(tmp_path / NAME, "loss", [1.0])
    program = (
        "import sys; from pathlib import Path; from stagedml.report.eventfiles import *;"
        "read_events(Path(sys.argv[1]), 'loss');"
        "print(sorted({'tensorflow', 'keras', 'numpy', 'pandas'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
