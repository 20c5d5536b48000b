"""Progress of long work: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

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
        yield bar


def _bar_class() -> type[tqdm[object]]:
    from tqdm import tqdm

    class Patient(tqdm):  # type: ignore[type-arg]  # tqdm is generic in its stub only
        """A bar that no remark shows before its time: tqdm does not end the line of one that should not be there."""

        def set_postfix_str(self, s: str = "", refresh: bool = True) -> None:
            is_shown = self.last_print_t >= self.start_t + QUIET_SECONDS
            super().set_postfix_str(s, refresh=refresh and is_shown)

    if sys.stderr.isatty():
        return Patient

    class Lines(tqdm):  # type: ignore[type-arg]  # tqdm is generic in its stub only
        """Whole lines instead of carriage returns, for logs."""

        # Its thread would add lines of its own.
        monitor_interval = 0

        def display(self, msg: str | None = None, pos: int | None = None) -> None:  # noqa: ARG002  # tqdm's signature
            # When it closes, tqdm disables itself and ends the last line.
            self.fp.write(f"{msg or self}" + ("" if self.disable else "\n"))

        def close(self) -> None:
            if self.format_dict["elapsed"] > QUIET_SECONDS:
                # tqdm closes without a word what it has never shown.
                self.last_print_t = float("inf")
            super().close()

        def set_postfix_str(self, s: str = "", refresh: bool = True) -> None:  # noqa: ARG002  # tqdm's signature
            # A remark waits for the next line instead of making one.
            super().set_postfix_str(s, refresh=False)

    return Lines
