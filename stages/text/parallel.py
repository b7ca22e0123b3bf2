"""Work spread over processes, its results in the order of the work.

`concurrent.futures` with three things settled: processes are spawned, as a fork of a process that runs
TensorFlow or threads may hang; only a few pieces are under way at a time, so that a producer of large pieces
is not read into memory; and a worker whose parent was killed ends instead of waiting forever. Workers do
not run the program's main file again: one without a guard would realize the same once more, and wait for it.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing.connection import wait
from types import ModuleType, TracebackType
from typing import Self, TypeVar

Work = TypeVar("Work")
Result = TypeVar("Result")


def _follow_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@contextmanager
def _main_hidden(f: Callable[..., object]) -> Iterator[None]:
    """Workers started meanwhile do not import the program's main file, unless `f` is from it."""
    main = sys.modules["__main__"]
    if getattr(f, "__module__", None) == "__main__":
        yield
        return
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


class Workers:
    """Processes that are started when there is work, and kept for the next one.

    With one worker everything runs in this process. Functions and their pieces must be picklable.
    """

    def __init__(self, count: int, *, ahead: int = 2) -> None:
        self.count, self.ahead = max(1, count), ahead
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)

    def map(self, f: Callable[[Work], Result], work: Iterable[Work]) -> Iterator[Result]:
        """`map(f, work)`, in order, at most `ahead` pieces beyond one a worker under way.

        An error in `f` is raised here.
        """
        if self.count == 1:
            yield from map(f, work)
            return
        under_way: deque[Future[Result]] = deque()
        try:
            for piece in work:
                if self._pool is None:
                    context = multiprocessing.get_context("spawn")
                    self._pool = ProcessPoolExecutor(
                        self.count, mp_context=context, initializer=_follow_parent
                    )
                with _main_hidden(f):
                    under_way.append(self._pool.submit(f, piece))
                if len(under_way) >= self.count + self.ahead:
                    yield under_way.popleft().result()
            while under_way:
                yield under_way.popleft().result()
        finally:
            for future in under_way:
                future.cancel()
