"""Ending on a signal with the work saved."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any


class Stopped(BaseException):
    """A signal asked for an end and the state is saved."""

    def __init__(self, number: int) -> None:
        super().__init__(f"signal {number}")
        self.number = number


class Stopping:
    """While it holds, SIGTERM and SIGINT only set a flag; afterwards the signal is delivered again."""

    def __init__(self, on_signal: Callable[[int], None]) -> None:
        self.on_signal = on_signal
        self.before: dict[int, Any] = {}

    def __enter__(self) -> None:
        if threading.current_thread() is not threading.main_thread():
            return  # Python delivers signals to the main thread only: nothing to take over here

        def handle(number: int, frame: FrameType | None) -> None:
            self.on_signal(number)

        for number in (signal.SIGTERM, signal.SIGINT):
            self.before[number] = signal.signal(number, handle)

    def __exit__(self, kind: Any, exc: Any, tb: Any) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)
        if isinstance(exc, Stopped):
            signal.raise_signal(exc.number)
