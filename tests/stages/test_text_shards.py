"""Sharded documents on disk, and work over processes."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from stagedml.errors import DataError
from stagedml.stages.text.parallel import Workers
from stagedml.stages.text.shards import read_shard, read_texts, shard_name, shard_paths, write_shard

RECORDS = [{"id": "1", "text": "one\ntwo"}, {"id": "2", "text": "日本 🎉 \u2028"}]


def test_documents_come_back(tmp_path: Path) -> None:
    """What was written is read, line separators inside a text included."""
    path = tmp_path / shard_name("articles", 0)
    write_shard(path, RECORDS)
    assert list(read_shard(path)) == RECORDS
    assert list(read_texts(path)) == [r["text"] for r in RECORDS]
    assert shard_paths(tmp_path) == [path]


def test_a_shard_has_the_same_bytes_every_time(tmp_path: Path) -> None:
    """Neither time nor file name enters the compressed bytes."""
    for name in "ab":
        write_shard(tmp_path / f"{name}.jsonl.gz", RECORDS)
    assert (tmp_path / "a.jsonl.gz").read_bytes() == (tmp_path / "b.jsonl.gz").read_bytes()


def test_a_truncated_shard_names_itself(tmp_path: Path) -> None:
    """A shard that was cut is an error that names the file."""
    path = tmp_path / "cut.jsonl.gz"
    write_shard(path, RECORDS * 100)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match="damaged shard") as e:
        list(read_shard(path))
    assert str(path) in e.value.where


def test_a_folder_without_shards_is_an_error(tmp_path: Path) -> None:
    """A stage that gets the wrong folder says which."""
    with pytest.raises(DataError, match="no shard") as e:
        shard_paths(tmp_path)
    assert str(tmp_path) in e.value.where


@pytest.mark.parametrize("count", [1, 2])
def test_results_come_in_order(count: int) -> None:
    """Results are in the order of the work, whatever the number of workers, and a pool is used again."""
    with Workers(count) as pool:
        assert list(pool.map(abs, range(-9, 0))) == list(range(9, 0, -1))
        assert list(pool.map(abs, [-1])) == [1]


def test_a_producer_is_not_read_ahead_of_the_work() -> None:
    """Only a few pieces are taken before the first result is asked for."""
    taken = 0

    def pieces() -> Iterator[int]:
        nonlocal taken
        for i in range(100):
            taken += 1
            yield i

    with Workers(2, ahead=2) as pool:
        results = pool.map(abs, pieces())
        next(results)
        assert taken <= 6
        results.close()  # type: ignore[attr-defined]


def test_an_error_in_a_worker_is_raised_here() -> None:
    """What a worker raises reaches the caller."""
    with Workers(2) as pool, pytest.raises(ValueError, match="invalid literal"):
        list(pool.map(int, ["1", "x", "3"]))


def test_workers_end_when_their_parent_is_killed(tmp_path: Path) -> None:
    """After a SIGKILL of the parent no worker is left behind."""
    program = (
        "import time\n"
        "from stagedml.stages.text.parallel import Workers\n"
        "if __name__ == '__main__':\n"
        "    with Workers(2) as pool:\n"
        "        for pid in pool.map(eval, ['__import__(\"os\").getpid()'] * 4):\n"
        "            print(pid, flush=True)\n"
        "        for _ in pool.map(time.sleep, [600, 600]): pass\n"
    )
    script = tmp_path / "parent.py"
    script.write_text(program)
    parent = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pids = {int(parent.stdout.readline()) for _ in range(4)}
    ends = [os.pidfd_open(pid) for pid in pids]
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    for end in ends:
        assert select.select([end], [], [], 60)[0], "a worker outlived its parent"
        os.close(end)
