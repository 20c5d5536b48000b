"""The leaderboard: every run of a comparison with its figures, and the best by valid alone."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, astuple, dataclass, field
from pathlib import Path

from evaluation.cells import write_csv
from evaluation.runs import read_run_card
from evaluation.scores import METRICS, scores_to_json
from evaluation.simplest import best_first, n_best
from featstore.errors import PredictionsError
from featstore.provenance import Json, write_json
from heads.entry import DECISIVE, SPLITS, Entry
from heads.pictures import PICTURES, draw_comparison

SCHEMA = "leaderboard/1"
BEST_SCHEMA = "best/1"
FINE_TUNED_HEAD = "mlp"
"""Head that `finetune run` can put on a backbone."""

FILES = ("best.json", "leaderboard.csv", "leaderboard.json", "classes.csv", *PICTURES)
"""What `Leaderboard.write` writes; pictures only of what there is."""

_FILED = {"train": "oof"}
CSV_COLUMNS = (
    "run",
    "backbone",
    "head",
    *(f"{_FILED.get(split, split)}_{metric}" for split in SPLITS for metric in METRICS),
    *(
        f"{_FILED.get(split, split)}_S_{what}"
        for split in SPLITS
        for what in ("low", "high", "less_best", "less_best_low", "less_best_high")
    ),
    "fit_seconds",
    "refit_seconds",
    "images_per_second",
    *(f"{split}_calibration_error_{when}" for split in ("valid", "test") for when in ("before", "after")),
    "error",
)
CLASS_COLUMNS = ("run", "split", "class_id", "species", "observations", "mrr", "top_1")


@dataclass(frozen=True)
class Leaderboard:
    """All runs of a comparison, the highest S on valid - out of fold, where there is that - first, failed ones last.

    Of runs whose S is equal but for rounding the simplest stands first: that of fewest networks, then features.

    Attributes
    ----------
    entries
        In any order; they are sorted here.
    facts
        What was compared: store, data set, seed and so on, for the JSON document.
    warnings
        What is doubtful and was kept.
    species
        Name of each class, "" where it is unknown.
    """

    entries: tuple[Entry, ...]
    facts: Mapping[str, Json]
    warnings: tuple[str, ...]
    species: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        deciding = self.deciding
        sound = sorted((entry for entry in self.entries if not entry.error), key=lambda entry: entry.needs)
        ordered = best_first(sound, lambda entry: entry.value(deciding) or 0.0)
        object.__setattr__(self, "entries", (*ordered, *self.failed))

    @property
    def deciding(self) -> str:
        """The split whose S decides: train, out of fold, if every run that did not fail has it; else valid."""
        sound = [entry for entry in self.entries if not entry.error]
        return "train" if sound and all(entry.value("train") is not None for entry in sound) else "valid"

    @property
    def failed(self) -> tuple[Entry, ...]:
        """Runs that failed."""
        return tuple(entry for entry in self.entries if entry.error)

    @property
    def overall(self) -> Entry | None:
        """The best of all; None if every run failed."""
        return _first(self.entries)

    @property
    def n_tied(self) -> int:
        """How many runs are as good as the best of all, itself included; 0 if every run failed."""
        values = [entry.value(self.deciding) or 0.0 for entry in self.entries if not entry.error]
        return n_best(values)

    @property
    def finetune(self) -> Entry | None:
        """The best start for fine-tuning: a single network with the mlp; None if there is none."""
        # Networks behind imported features cannot be built here, and a histogram cannot learn.
        foreign = {*_list(self.facts, "foreign"), *_list(self.facts, "baselines")}
        # Nor is there a layer for features that a head prepares before its network sees them.
        plain = [e for e in self.entries if not {"unit_length", "components"} & set(e.trial.choice.settings)]
        alone = [entry for entry in plain if len(entry.trial.backbones) == 1]
        return _first([e for e in alone if e.trial.head == FINE_TUNED_HEAD and e.trial.backbones[0] not in foreign])

    def best(self) -> dict[str, Json]:
        """Give the content of ``best.json``."""
        return {
            "schema": BEST_SCHEMA,
            "finetune": _choice(self.finetune, self.deciding),
            "overall": _choice(self.overall, self.deciding),
        }

    def to_json(self) -> dict[str, Json]:
        """Give the whole comparison as one document; figures are rows as in ``scores.json``."""
        return {
            "schema": SCHEMA,
            **self.facts,
            "runs": [entry.to_json() | {"less_best": self._less_best(entry)} for entry in self.entries],
            "scores": scores_to_json([score for entry in self.entries for score in entry.scores]),
            "best": self.best(),
            "warnings": list(self.warnings),
        }

    def _class_rows(self) -> Iterator[list[str]]:
        for entry in self.entries:
            for split, found in entry.by_class.items():
                for name, n, mrr, top_1 in zip(
                    found.class_id.tolist(), found.n_observations, found.mrr, found.top_1, strict=True
                ):
                    names = [entry.trial.name, _FILED.get(split, split), name, self.species.get(name, "")]
                    yield [*names, str(n), str(mrr), str(top_1)]

    def _less_best(self, entry: Entry) -> dict[str, Json]:
        """By split, how much S is above the best run's; distinguishable or not."""
        found = {split: entry.less(self.overall, split) for split in SPLITS}
        return {
            split: asdict(told) | {"distinguishable": told.distinguishable}
            for split, told in found.items()
            if math.isfinite(told.low)
        }

    def write(self, out: Path) -> None:
        """Write leaderboard.csv, classes.csv, leaderboard.json, best.json and pictures, each whole or not at all.

        Pictures of an earlier comparison that this one has nothing to show for are removed.
        """
        write_csv(out / "classes.csv", CLASS_COLUMNS, self._class_rows())
        write_csv(out / "leaderboard.csv", CSV_COLUMNS, [_csv_row(entry, self.overall) for entry in self.entries])
        write_json(out / "leaderboard.json", self.to_json())
        best = self.best()
        best["finetune"] = best["finetune"] or _earlier_start(out, {entry.trial.name for entry in self.failed})
        write_json(out / "best.json", best)
        drawn = draw_comparison(self.entries, self.overall, self.species, out)
        for path in {out / name for name in PICTURES}.difference(drawn):
            path.unlink(missing_ok=True)


def _earlier_start(out: Path, failed: Collection[str]) -> Json:
    """The start for fine-tuning that an earlier comparison chose, if its run is there and has not failed since."""
    try:
        earlier = json.loads((out / "best.json").read_text(encoding="utf-8"))["finetune"]
        run = Path(str(earlier["run"])).name
        read_run_card(out / run)
    except (OSError, ValueError, KeyError, TypeError, PredictionsError):
        return None
    return None if run in failed else dict(earlier)


def _first(entries: Sequence[Entry]) -> Entry | None:
    return next((entry for entry in entries if not entry.error), None)


def _choice(entry: Entry | None, deciding: str) -> Json:
    if entry is None:
        return None
    return {
        "run": entry.trial.name,
        "backbone": entry.trial.input,
        "head": entry.trial.head,
        "metric": DECISIVE,
        "value": entry.value(deciding),
    }


def _csv_row(entry: Entry, best: Entry | None) -> list[str]:
    figures = [value for split in SPLITS for value in entry.figures(split).values()]
    spread = [end for split in SPLITS for end in (*entry.interval(split), *astuple(entry.less(best, split)))]
    told = entry.calibrated
    errors = [told.error(split, when) if told else None for split in ("valid", "test") for when in ("before", "after")]
    numbers = [*figures, *spread, entry.fit_seconds, entry.refit_seconds, entry.images_per_second, *errors]
    texts = ["" if number is None or math.isnan(number) else str(number) for number in numbers]
    return [entry.trial.name, entry.trial.input, entry.trial.head, *texts, entry.error]


def _list(details: Mapping[str, Json], name: str) -> list[Json]:
    value = details.get(name)
    return value if isinstance(value, list) else []
