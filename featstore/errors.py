"""Errors a user can act on: what was expected, what came, what to do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar


class PhytobenchError(Exception):
    """Base of every error that the command lines show without a traceback.

    Parameters
    ----------
    expected
        What the program needed, as a noun phrase: ``"one class per observation"``.
    got
        What it met instead, naming the file, id or option.
    remedy
        One sentence that tells the user what to do now.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, expected: str, got: str, remedy: str) -> None:
        super().__init__(f"Expected {expected}, got {got}. {remedy}")
        self.expected = expected
        self.got = got
        self.remedy = remedy

    @property
    def in_short(self) -> str:
        """What came and what to do, to stand within another sentence or behind the name of what it is about.

        >>> DatasetError("a table", "a folder", "Name the table.").in_short
        'a folder; name the table'
        """
        return self._in_short(self.got)

    def _in_short(self, problem: str) -> str:
        return f"{problem}; {self.remedy[:1].lower()}{self.remedy[1:].removesuffix('.')}"

    def __reduce__(self) -> tuple[type[PhytobenchError], tuple[str, ...]]:
        """Travel between processes: an exception is made anew from its arguments, and ours takes three."""
        return type(self), (self.expected, self.got, self.remedy)


class DatasetError(PhytobenchError):
    """The photographs or their metadata cannot be used as they are."""


class ImageError(PhytobenchError):
    """One photograph cannot be read; the run goes on without it.

    Parameters
    ----------
    expected, remedy
        As of every error.
    problem
        What is wrong with it, without its name.
    name
        Its file's name, which `got` tells, too; `in_short` does not, for it stands behind what it is about.

    Examples
    --------
    >>> error = ImageError("a photograph", "an empty file", "Copy it again.", "1.jpg")
    >>> error.got, error.in_short
    ('an empty file: 1.jpg', 'an empty file; copy it again')
    """

    def __init__(self, expected: str, problem: str, remedy: str, name: str = "") -> None:
        super().__init__(expected, f"{problem}: {name}" if name else problem, remedy)
        self.problem = problem
        self.name = name

    @property
    def in_short(self) -> str:
        """What is wrong and what to do, to stand behind the photograph's name."""
        return self._in_short(self.problem)

    def __reduce__(self) -> tuple[type[ImageError], tuple[str, ...]]:
        """Travel with the name, too."""
        return type(self), (self.expected, self.problem, self.remedy, self.name)


class WeightsError(PhytobenchError):
    """The weights of a network are missing or belong to another one."""


class StoreError(PhytobenchError):
    """A feature store is absent, of another schema, or made differently."""


class SplitError(PhytobenchError):
    """A split leaks, lacks images or does not fit the store."""


class PredictionsError(PhytobenchError):
    """A Predictions file, run folder or set of members breaks its format."""


class SettingsError(PhytobenchError):
    """An option or a setting is out of range or unknown."""


class TrainingError(PhytobenchError):
    """Training cannot start or had to stop; what was best so far is kept."""


def counted(n: int, singular: str, plural: str = "") -> str:
    """A number and what it counts, for a message.

    >>> counted(1, "photograph"), counted(0, "photograph"), counted(2, "species", "species")
    ('1 photograph', '0 photographs', '2 species')
    """
    return f"{n:,} {singular if n == 1 else plural or singular + 's'}"


def unlike(now: Mapping[str, object], before: Mapping[str, object]) -> list[str]:
    """Name the settings of `now` that had other values before, nested ones with dots as `--set` has them.

    >>> unlike({"seed": 5, "augment": {"noise": 0.5}}, {"seed": 0, "augment": {"noise": 0.5}})
    ['seed 5 instead of 0']
    """
    old = flat(before)
    return [f"{name} {value} instead of {old.get(name)}" for name, value in flat(now).items() if old.get(name) != value]


def flat(settings: Mapping[str, object], prefix: str = "") -> dict[str, object]:
    """Give nested settings one name each: ``augment.noise``."""
    found: dict[str, object] = {}
    for name, value in settings.items():
        found |= flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {f"{prefix}{name}": value}
    return found


def listed(items: list[str], limit: int = 5) -> str:
    """Join up to `limit` items for a message and count the rest.

    >>> listed(["a", "b", "c"], limit=2)
    'a, b and 1 more'
    """
    if len(items) <= limit:
        return ", ".join(items)
    return f"{', '.join(items[:limit])} and {len(items) - limit} more"
