"""A head as a user asks for it: which one, with which settings, under which name."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from difflib import get_close_matches

from featstore.errors import SettingsError, listed
from featstore.provenance import Json
from heads.head import Head
from heads.registry import HEADS, head_class

FINETUNED = "finetuned"
"""What the names of runs of `finetune run` end in, behind a hyphen: no head is called so."""
_LABEL = re.compile(r"[A-Za-z0-9_.-]+")
_YES_NO = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
_READERS: Mapping[type, tuple[Callable[[str], Json], str]] = {
    bool: (lambda text: _YES_NO[text.lower()], "yes or no"),
    int: (int, "a whole number"),
    float: (float, "a number"),
    str: (str, "text"),
}


@dataclass(frozen=True)
class HeadChoice:
    """One head of a comparison.

    Attributes
    ----------
    head
        Name in `heads.registry.HEADS`.
    label
        What it is called in tables and folders; the head's own name unless another is given.
    settings
        Settings other than the defaults.

    Raises
    ------
    SettingsError
        If head or settings are unknown, or the label is no name for a folder or one of fine-tuned runs.
    """

    head: str
    label: str = ""
    settings: Mapping[str, Json] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.head not in HEADS:
            near = get_close_matches(self.head, HEADS, n=1)
            remedy = f"Did you mean {near[0]}?" if near else "Correct --head."
            raise SettingsError(f"a head among {', '.join(HEADS)}", repr(self.head), remedy)
        object.__setattr__(self, "label", self.label or self.head)
        if not _LABEL.fullmatch(self.label):
            raise SettingsError("a label of letters, digits, _, . and -", repr(self.label), "Correct --head.")
        if f"-{self.label}".endswith(f"-{FINETUNED}"):
            expected = f"a label that does not end in {FINETUNED}, as the runs of `finetune run` do"
            raise SettingsError(expected, repr(self.label), f"Choose another: --head NAME={self.head}.")

    @classmethod
    def parse(cls, text: str) -> HeadChoice:
        """Read ``[LABEL=]HEAD[:SETTING=VALUE,...]``.

        >>> HeadChoice.parse("wide=mlp:units=1024,dropout=0.3").settings
        {'units': 1024, 'dropout': 0.3}
        """
        name, _, listing = text.partition(":")
        label, _, head = name.rpartition("=")
        choice = cls(head.strip(), label.strip())
        words = [word.partition("=") for word in listing.split(",") if word.strip()]
        settings = {key.strip(): choice._value(key.strip(), value.strip()) for key, _, value in words}
        choice = cls(choice.head, choice.label, settings)
        choice.create(0)
        return choice

    def create(self, seed: int, **settings: Json) -> Head:
        """Create the unfitted head, further `settings` going before its own."""
        # `_value` has read each as the kind that the setting has.
        return head_class(self.head)(seed=seed, **{**self.settings, **settings})  # type: ignore[arg-type]

    @property
    def needs_engine(self) -> bool:
        """Whether it, or the head that it is made of, computes with Keras."""
        inner = str(self.settings.get("of", ""))
        return HEADS[self.head].needs_engine or (inner in HEADS and HEADS[inner].needs_engine)

    def random(self, tuned: Mapping[str, Json] | None = None) -> bool:
        """Whether another seed may give another fit.

        Some heads are random by themselves; any is that keeps principal components, because those of many columns are
        found from a random start.

        Parameters
        ----------
        tuned
            Settings that go before its own.
        """
        used = {**settings_of(self.head), **self.settings, **(tuned or {})}
        if any(HEADS[name].random for name in (self.head, str(used.get("of", ""))) if name in HEADS):
            return True
        return bool(used["components"]) and used["reduction"] == "pca"

    def _value(self, name: str, text: str) -> Json:
        """Read a setting as the kind of value that its default is, or as a word that it takes besides."""
        kinds = settings_of(self.head)
        if name not in kinds:
            raise SettingsError(f"a setting of {self.head} ({', '.join(kinds)})", repr(name), "Correct --head.")
        words = head_class(self.head).words.get(name, ())
        if text in words:
            return text
        read, kind = _READERS[type(kinds[name])]
        try:
            return read(text)
        except (KeyError, ValueError) as error:
            expected = f"{name} of {self.head} as {' or '.join([kind, *words])}"
            raise SettingsError(expected, repr(text), "Correct --head.") from error


def settings_of(head: str) -> dict[str, Json]:
    """Settings of a head that can be said on one line, with their defaults."""
    defaults = {entry.name: entry.default for entry in fields(head_class(head)) if entry.name != "seed"}
    return {name: value for name, value in defaults.items() if isinstance(value, bool | int | float | str)}


def parse_choices(texts: tuple[str, ...]) -> tuple[HeadChoice, ...]:
    """Read several; the same one twice counts once.

    Raises
    ------
    SettingsError
        If none is named, or two that differ have one label.
    """
    choices: dict[str, HeadChoice] = {}
    for choice in map(HeadChoice.parse, texts):
        if choices.setdefault(choice.label, choice) != choice:
            raise SettingsError(
                "one head per label",
                f"two called {choice.label}",
                f"Name one: --head NAME={choice.head}:...",
            )
    if not choices:
        raise SettingsError(f"heads among {listed(list(HEADS), 20)}", "none", "Correct --head.")
    return tuple(choices.values())
