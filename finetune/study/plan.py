"""The article's study as steps: features, heads, whole networks, and what they say together."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from evaluation.runs import CARD, SPLIT_FILE
from featstore.backbones import ARTICLE_BACKBONES, BACKBONES, check_options
from featstore.errors import SettingsError
from finetune.settings import TrainSettings
from finetune.study.step import Step
from finetune.study.variations import ARTICLE, FINE_TUNED, FINE_TUNING, HEADS, LEAVABLE, VARIATIONS, Variation

TTA = 5
"""Variants that the article averages."""


@dataclass(frozen=True)
class ArticleSettings:
    """What is asked for.

    Attributes
    ----------
    data
        The data set, any that `featstore build` reads.
    out
        Folder of everything that is made.
    weights
        Of the backbones, as `featstore build` takes them.
    backbones
        Networks.
    fine_tuned
        Those of them that are trained as a whole; none for the article's two, or all where neither is among them.
    without
        Parts to leave out, names in `LEAVABLE`.
    side_px
        Side of the input; None for each network's own.
    epochs
        Most epochs of fine-tuning; None for the default of `finetune run`.
    seed
        Seed of everything random.

    Raises
    ------
    SettingsError
        If a name is unknown, a network cannot be trained, or a number is out of range.
    """

    data: Path
    out: Path
    weights: str = "imagenet"
    backbones: tuple[str, ...] = ARTICLE_BACKBONES
    fine_tuned: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    side_px: int | None = None
    epochs: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        for name in self.backbones:
            check_options(name, "avg", self.side_px)
            if BACKBONES[name].baseline:
                raise SettingsError("networks with weights", name, "Leave it out.")
        unknown = sorted(set(self.without) - set(LEAVABLE))
        if unknown:
            raise SettingsError(f"--without among {', '.join(LEAVABLE)}", ", ".join(unknown), "Correct it.")
        strange = sorted(set(self.fine_tuned) - set(self.backbones))
        if strange:
            expected = f"--finetune among {', '.join(self.backbones)}"
            raise SettingsError(expected, ", ".join(strange), "Name it by --backbone, too.")
        TrainSettings(epochs=self.epochs or 0, seed=self.seed)

    @property
    def trained(self) -> tuple[str, ...]:
        """Networks that are trained as a whole."""
        usual = tuple(name for name in FINE_TUNED if name in self.backbones)
        return () if FINE_TUNING in self.without else self.fine_tuned or usual or self.backbones

    @property
    def variations(self) -> tuple[Variation, ...]:
        """The ways that are gone, the article's first."""
        return tuple(variation for name, variation in VARIATIONS.items() if name not in self.without)

    @property
    def trained_variations(self) -> tuple[Variation, ...]:
        """Those that train whole networks."""
        return tuple(variation for variation in self.variations if variation.is_fine_tuned and self.trained)

    @property
    def store(self) -> Path:
        """The feature store."""
        return self.out / "features.zarr"

    @property
    def report(self) -> Path:
        """The HTML page."""
        return self.out / "report.html"

    def runs(self, variation: Variation) -> Path:
        """Folder of a variation's runs."""
        return self.out / "runs" / variation.name

    def head_run(self, variation: Variation, backbone: str, head: str) -> Path:
        """Run folder of a head."""
        return self.runs(variation) / f"{backbone}{variation.suffix}-{head}"

    def trained_run(self, variation: Variation, backbone: str) -> Path:
        """Run folder of a whole network."""
        return self.runs(variation) / f"{backbone}{variation.suffix}-finetuned"

    @property
    def trained_runs(self) -> list[Path]:
        """Run folders of all whole networks."""
        return [self.trained_run(way, name) for way in self.trained_variations for name in self.trained]


def article_steps(settings: ArticleSettings, made_from: str) -> list[Step]:
    """List the steps, each behind those that it needs.

    Parameters
    ----------
    made_from
        Digest of the photographs and their papers.
    """
    return [*_features(settings, made_from), *_heads(settings), *_whole_networks(settings), *_together(settings)]


def features_step(variation: Variation) -> str:
    """Name of the step that makes a variation's features."""
    return f"features{variation.suffix}"


def heads_step(variation: Variation) -> str:
    """Name of the step that compares a variation's heads."""
    return "heads" if variation is ARTICLE else f"heads-{variation.name}"


def training_step(variation: Variation) -> str:
    """Name of the step that trains a variation's networks."""
    return "finetune" if variation is ARTICLE else f"finetune-{variation.name}"


def _features(settings: ArticleSettings, made_from: str) -> Iterator[Step]:
    made: set[str] = set()
    for way in settings.variations:
        if way.suffix in made:
            continue
        made.add(way.suffix)
        words = ["featstore", "build", str(settings.data), "--store", str(settings.store)]
        words += [*_each("--backbone", settings.backbones), "--weights", settings.weights]
        words += ["--pooling", way.pooling, "--roi", way.roi]
        words += ["--as", f"{{backbone}}{way.suffix}"] if way.suffix else []
        words += ["--side", str(settings.side_px)] if settings.side_px else []
        # One after the other: a store has one writer, and the first build finds photographs that cannot be used.
        needs = () if way is ARTICLE else (features_step(ARTICLE),)
        yield Step(features_step(way), tuple(words), needs, (settings.store,), ("--replace",), made_from=made_from)


def _heads(settings: ArticleSettings) -> Iterator[Step]:
    for way in settings.variations:
        runs = settings.runs(way)
        names = [f"{name}{way.suffix}" for name in settings.backbones]
        words = ["heads", "compare", str(settings.store), *_each("--backbone", names), *_each("--head", HEADS)]
        # Fitted on train alone, as the whole networks are, so that both can be compared.
        words += ["--no-concat", "--no-refit", "--seed", str(settings.seed)]
        words += [] if way.min_vote is None else ["--min-vote", str(way.min_vote)]
        words += [] if way is ARTICLE else ["--split-file", str(settings.runs(ARTICLE) / SPLIT_FILE)]
        needs = (features_step(way),) if way is ARTICLE else (features_step(way), heads_step(ARTICLE))
        found = [settings.head_run(way, name, head) / CARD for name in settings.backbones for head in HEADS]
        yield Step(heads_step(way), (*words, "--out", str(runs)), needs, (runs / SPLIT_FILE, *found))


def _whole_networks(settings: ArticleSettings) -> Iterator[Step]:
    for way in settings.trained_variations:
        runs = str(settings.runs(way))
        names = [f"{name}{way.suffix}" for name in settings.trained]
        words = ["finetune", "run", str(settings.store), "--from", runs, *_each("--backbone", names)]
        words += ["--min-vote", str(way.min_vote)] if way.min_vote is not None else []
        words += [] if settings.epochs is None else ["--epochs", str(settings.epochs)]
        words += ["--tta", str(TTA), "--seed", str(settings.seed)]
        found = tuple(settings.trained_run(way, name) / CARD for name in settings.trained)
        yield Step(training_step(way), tuple(words), (heads_step(way),), found, ("--restart",))


def _together(settings: ArticleSettings) -> Iterator[Step]:
    runs = tuple(str(run) for run in settings.trained_runs)
    heads = tuple(str(settings.head_run(ARTICLE, name, "mlp")) for name in settings.backbones)
    needs = tuple(training_step(way) for way in settings.trained_variations)
    out = ("--out", str(settings.out))
    if len(runs) > 1:
        card = settings.out / "fusion-mean-tta" / CARD
        yield Step("fuse", ("evaluate", "fuse", *runs, "--tta", *out), needs, (card,), where_there=runs)
    if runs:
        yield Step("article", ("evaluate", "article", *runs, *out), needs, (article_file(settings),), where_there=runs)
    words = ("evaluate", "report", *heads, *runs, "--store", str(settings.store), "--out", str(settings.report))
    yield Step("report", words, (heads_step(ARTICLE), *needs), (settings.report,), where_there=(*heads, *runs))


def article_file(settings: ArticleSettings) -> Path:
    """What `evaluate article` finds."""
    return settings.out / "article" / "article.json"


def _each(option: str, values: tuple[str, ...] | list[str]) -> list[str]:
    return [word for value in values for word in (option, value)]
