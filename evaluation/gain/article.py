"""The article's table: single networks, each with test-time augmentation, several merged, and what each gains.

Choices are made on valid: which single is the best, and which networks are worth merging. Beside them stand the
article's own figures, which were won on the official test set of 2014 and compare with no other.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from evaluation.cells import finite
from evaluation.gain.contest import Contest
from evaluation.gain.figures import SCHEMA, Figure, cells, figures
from evaluation.gain.tables import GAIN, between
from evaluation.intervals import Difference, difference
from evaluation.metrics import observation_score, reciprocal_rank, top_k_score
from evaluation.per_author import PerAuthor
from featstore.provenance import Json

METRICS: Mapping[str, str] = MappingProxyType({"S": "S", "top_1": "Top-1", "top_3": "Top-3", "top_5": "Top-5"})
COLUMNS = ("kind", "run", "S", "95 % of S", "Top-1", "Top-3", "Top-5", "images/s", *GAIN)
SECONDARY = ("images/s", "Top-3", "Top-5", GAIN[1], "Top-1", "95 % of S")
"""Columns that give way in a narrow terminal."""
ARTICLE_LABEL = "article of 2017"
BEST = "best single"
PUBLISHED_KIND = "published"
OFFICIAL_PLANTS = 8163
"""Observations of the official test set of 2014."""

PUBLISHED: Mapping[str, Mapping[str, float]] = MappingProxyType(
    {
        "best single": {"S": 0.60785, "top_5": 0.716630},
        "+ TTA": {"S": 0.615734, "top_5": 0.730051},
        "merged": {"S": 0.635100},
    }
)
"""What the article reports of its best single network, the same with augmentation, and several networks averaged."""


@dataclass(frozen=True)
class Entrant:
    """One row to be judged.

    Parameters
    ----------
    kind
        ``"single"``, ``"+ TTA"``, ``"merged"`` or ``"merged + TTA"``.
    run
        Name in the table.
    chosen
        Positions of its models in the contest, at least one.
    """

    kind: str
    run: str
    chosen: tuple[int, ...]


@dataclass(frozen=True)
class ArticleRow:
    """One row of the table.

    Attributes
    ----------
    kind, run, models
        What it is, its name, and the names of the models in it; none for a row of the article.
    figures
        Metric -> figure; without an interval for a row of the article, which reports none.
    difference
        S less that of the best single, with the same authors drawn; None for a row of the article.
    images_per_second
        Through all models one after another; NaN when unknown.
    """

    kind: str
    run: str
    models: tuple[str, ...]
    figures: Mapping[str, Figure]
    difference: Difference | None
    images_per_second: float

    def to_json(self) -> dict[str, Json]:
        """One flat object; what is unknown is null."""
        unknown = Figure(math.nan, math.nan, math.nan)
        entry: dict[str, Json] = {"kind": self.kind, "run": self.run, "models": list(self.models)}
        for name in METRICS:
            entry |= cells(name, self.figures.get(name, unknown))
        entry |= cells("S_difference", self.difference or unknown)
        return {**entry, "images_per_second": finite(self.images_per_second)}

    def cells(self) -> list[str]:
        """Write the row's cells under `COLUMNS`, ``-`` where there is no figure."""
        first, *others = (f"{self.figures[name].value:.4f}" if name in self.figures else "-" for name in METRICS)
        speed = self.images_per_second
        # The best single less itself says nothing.
        gain = None if self.kind == BEST else self.difference
        return [
            self.kind,
            self.run,
            first,
            between(self.figures["S"]),
            *others,
            "-" if math.isnan(speed) else f"{speed:,.{0 if speed >= 100 else 1}f}",
            f"{gain.value:+.4f}" if gain else "-",
            between(gain, "+") if gain else "-",
        ]


@dataclass(frozen=True)
class ArticleTable:
    """The table.

    Attributes
    ----------
    split, n_observations
        What is reported.
    best
        Name of the best single.
    chosen_on
        Split on which it was the best, and on which members were chosen; ``""`` for the only one.
    rows
        Ours, then the article's.
    """

    split: str
    n_observations: int
    best: str
    chosen_on: str
    rows: tuple[ArticleRow, ...]

    @property
    def choice(self) -> str:
        """Name the best single, and say how it was chosen."""
        how = f"chosen on {self.chosen_on}; gains are over it" if self.chosen_on else "the only one"
        return f"Best single: {self.best}, {how}."

    @property
    def comparable(self) -> bool:
        """Whether the rows are about as many observations as the article's."""
        return self.split == "test" and self.n_observations == OFFICIAL_PLANTS

    @property
    def note(self) -> str:
        """Whether the article's figures may be compared."""
        if self.comparable:
            return f"The {ARTICLE_LABEL} reports the official test set of 2014, and these are as many observations."
        return (
            f"NOT COMPARABLE: the {ARTICLE_LABEL} reports the official test set of 2014 ({OFFICIAL_PLANTS:,} "
            f"observations of 500 species), the rows above {self.n_observations:,} other observations ({self.split})."
        )

    def to_json(self) -> dict[str, Json]:
        """Give the table with what it rests on."""
        return {
            "schema": SCHEMA,
            "split": self.split,
            "n_observations": self.n_observations,
            "best_single": self.best,
            "chosen_on": self.chosen_on or None,
            "rows": [row.to_json() for row in self.rows],
            "note": self.note,
        }

    def to_markdown(self) -> str:
        """Write the table as Markdown, with its note below."""
        lines = [COLUMNS, ["---"] * 2 + ["---:"] * (len(COLUMNS) - 2), *(row.cells() for row in self.rows)]
        table = "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in lines)
        return f"{table}\n\n{self.choice} {self.note}\n"


def entrants(
    contest: Contest, plain: Sequence[int], augmented: Mapping[int, int], worth_merging: Sequence[int]
) -> list[Entrant]:
    """List the rows of the article's layout.

    Parameters
    ----------
    contest
        All models.
    plain
        Position of every run's plain predictions.
    augmented
        Plain position -> position of the same run's augmented predictions, where it has some.
    worth_merging
        The plain positions that valid would merge.
    """
    names = contest.names
    found = [Entrant("single", names[number], (number,)) for number in plain]
    found += [Entrant("+ TTA", names[number], (number,)) for number in augmented.values()]
    merged = {f"all {len(plain)}": tuple(plain), f"{len(worth_merging)} chosen on valid": tuple(worth_merging)}
    sets = {name: chosen for name, chosen in merged.items() if len(chosen) > 1}
    if set(plain) == set(worth_merging):
        # The same networks need no second row.
        sets = dict(list(sets.items())[:1])
    found += [Entrant("merged", name, chosen) for name, chosen in sets.items()]
    for name, chosen in sets.items():
        if any(number in augmented for number in chosen):
            with_copies = tuple(augmented.get(number, number) for number in chosen)
            found.append(Entrant("merged + TTA", name, with_copies))
    return found


def article_table(
    contest: Contest, rows: Sequence[Entrant], best: int, chosen_on: str, rule: str = "mean"
) -> ArticleTable:
    """Judge every row, and how much better it is than the best single.

    Parameters
    ----------
    contest
        All models.
    rows
        What to judge.
    best
        Position of the best single.
    chosen_on
        Split on which it was chosen.
    rule
        Name in `RULES`.
    """
    reference = _scores(contest, (best,), rule)["S"]
    ours: list[ArticleRow] = []
    for row in rows:
        scores = _scores(contest, row.chosen, rule)
        kind = BEST if row.chosen == (best,) else row.kind
        models = tuple(contest.names[number] for number in row.chosen)
        judged = dict(zip(scores, figures(list(scores.values())), strict=True))
        speed = 1.0 / contest.cost(row.chosen)
        ours.append(ArticleRow(kind, row.run, models, judged, difference(scores["S"], reference), speed))
    return ArticleTable(
        split=contest.split,
        n_observations=len(contest.true_index),
        best=contest.names[best],
        chosen_on=chosen_on,
        rows=(*ours, *published_rows()),
    )


def published_rows() -> list[ArticleRow]:
    """Give the article's figures as rows."""
    return [
        ArticleRow(
            PUBLISHED_KIND,
            f"{ARTICLE_LABEL}, test set of 2014: {what}",
            (),
            {name: Figure(value, math.nan, math.nan) for name, value in values.items()},
            None,
            math.nan,
        )
        for what, values in PUBLISHED.items()
    ]


def _scores(contest: Contest, chosen: Sequence[int], rule: str) -> dict[str, PerAuthor]:
    rank, author = contest.ranks(chosen, rule), contest.plants.author
    tops = {f"top_{k}": top_k_score(rank, k, author) for k in (1, 3, 5)}
    return {"S": observation_score(reciprocal_rank(rank), author), **tops}
