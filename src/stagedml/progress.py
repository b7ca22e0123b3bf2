"""Progress of a long piece of work: a bar on a terminal, a line now and then elsewhere.

Plain functions take `progress: Progress | None`; `Progress()` is the silent one, so that they need no
second code path. The engine hands realizers a `BarProgress`.
"""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Any, Self, TextIO

LINE_EVERY_S = 30.0


class Progress:
    """Counts nothing and prints nothing; the base of those that do."""

    def update(self, n: float = 1) -> None:
        """Says that `n` more units are done."""

    def expect(self, total: float) -> None:
        """Says how many units there will be, when that is known late."""

    def note(self, **fields: float | int | str) -> None:
        """Shows values beside the bar, such as `loss=2.31`."""

    def close(self) -> None:
        """Finishes the bar."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.close()


class BarProgress(Progress):
    """A bar with rate and remaining time on a terminal; one line every 30 seconds elsewhere."""

    def __init__(
        self,
        total: float | None = None,
        *,
        unit: str = "it",
        desc: str = "",
        stream: TextIO | None = None,
    ) -> None:
        self._stream = stream if stream is not None else sys.stderr
        self._total, self._unit, self._desc = total, unit, desc
        self._n = 0.0
        self._fields: dict[str, str] = {}
        self._start = self._last = time.monotonic()
        self._bar: Any = None
        if self._stream.isatty():
            from tqdm import tqdm  # imported late: not needed for a run that builds nothing

            self._bar = tqdm(
                total=total,
                unit=unit,
                desc=desc,
                file=self._stream,
                leave=False,
                dynamic_ncols=True,
                unit_scale=total is None or total >= 10_000,
            )

    def update(self, n: float = 1) -> None:
        self._n += n
        if self._bar is not None:
            self._bar.update(n)
        elif time.monotonic() - self._last >= LINE_EVERY_S:
            self._last = time.monotonic()
            self._line()

    def expect(self, total: float) -> None:
        self._total = total
        if self._bar is not None:
            self._bar.total = total

    def note(self, **fields: float | int | str) -> None:
        self._fields = {k: f"{v:.4g}" if isinstance(v, float) else str(v) for k, v in fields.items()}
        if self._bar is not None:
            self._bar.set_postfix(self._fields, refresh=False)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()

    def _line(self) -> None:
        elapsed = max(self._last - self._start, 1e-9)
        rate = self._n / elapsed
        text = f"  {self._desc}: {self._n:,.0f}"
        if self._total:
            left = (self._total - self._n) / rate if rate else float("inf")
            text += f"/{self._total:,.0f} ({100 * self._n / self._total:.0f}%), {left:,.0f} s left"
        text += f", {rate:,.1f} {self._unit}/s" if rate >= 1 else f", {rate:.2g} {self._unit}/s"
        if self._fields:
            text += ", " + ", ".join(f"{k}={v}" for k, v in self._fields.items())
        print(text, file=self._stream, flush=True)
