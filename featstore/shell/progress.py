"""Progress of long work: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Never, Protocol

from featstore.shell.speech import quiet

if TYPE_CHECKING:
    from tqdm import tqdm

QUIET_SECONDS = 2
"""Work that ends within this time shows no progress."""


class Bar(Protocol):
    """The two calls a long loop needs."""

    def update(self, n: int = 1) -> object:
        """Count `n` more units as finished."""

    def set_postfix_str(self, s: str = "") -> object:
        """Show a short remark behind the rate."""


@contextmanager
def progress(total: int, label: str, unit: str) -> Iterator[Bar]:
    """Show rate and remaining time: a bar on a terminal, a plain line every ten seconds elsewhere.

    Nothing appears for work that ends within two seconds, or when quiet.
    """
    terminal = sys.stderr.isatty()
    with _bar_class()(
        total=total,
        desc=label,
        unit=f" {unit}",
        delay=QUIET_SECONDS,
        file=sys.stderr,
        mininterval=0.2 if terminal else 10,
        miniters=1,
        dynamic_ncols=True,
        disable=quiet(),
    ) as bar:
        try:
            yield _Remarking(bar, at_once=terminal)
        finally:
            if _is_long(bar):
                # tqdm closes without a word, and without ending the line, what no `update` has shown.
                bar.last_print_t = float("inf")


def _is_long(bar: tqdm[Never]) -> bool:
    return float(bar.format_dict["elapsed"]) > QUIET_SECONDS


class _Remarking:
    """A bar whose remarks show at once, but none before its time; a log waits for the next line."""

    def __init__(self, bar: tqdm[Never], *, at_once: bool) -> None:
        self._bar, self._at_once = bar, at_once

    def update(self, n: int = 1) -> object:
        return self._bar.update(n)

    def set_postfix_str(self, s: str = "") -> None:
        self._bar.set_postfix_str(s, refresh=self._at_once and _is_long(self._bar))


def _bar_class() -> type[tqdm[object]]:
    from tqdm import tqdm

    if sys.stderr.isatty():
        return tqdm

    class Lines(tqdm):  # type: ignore[type-arg]  # tqdm is generic in its stub only
        """Whole lines instead of carriage returns, for logs."""

        # Its thread would add lines of its own.
        monitor_interval = 0

        def display(self, msg: str | None = None, pos: int | None = None) -> None:  # noqa: ARG002  # tqdm's signature
            # When it closes, tqdm disables itself and ends the last line.
            self.fp.write(f"{msg or self}" + ("" if self.disable else "\n"))

    return Lines
