"""The demo as steps: drawn photographs, the four commands, the article's table, and a page about all of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from evaluation.runs import CARD
from featstore.backbones import BACKBONES, check_options, random_seed
from featstore.errors import SettingsError
from featstore.synth import SynthSettings
from finetune.settings import TrainSettings
from finetune.study.step import Step

NETWORKS = ("seedling", "colour")
"""The small network that comes with the package, and one that sees nothing but colours."""

PHOTOGRAPH_PX = 160
VARIATION = 0.08
"""How much drawn plants of a species differ."""

OBSERVATIONS_PER_AUTHOR = 5
"""Few, so that there are many authors: intervals are over them."""

TRAINING = (
    "--rate", "1e-2", "--batch-norm", "train", "--set", "schedule=cosine", "--set", "clip_norm=1.0", "--set",
    "patience=30", "--set", "augment.probability=0.5",
)  # fmt: skip
"""Settings for a network as small as the seedling; others take the defaults of `finetune run`."""


TIME_OF_DEFAULTS = (
    "With its defaults the demo takes three to five minutes on two cores; more plants, epochs and larger networks take "
    "longer."
)
"""As measured, see docs/demo.md: before anything is drawn there is nothing to measure speeds on."""


@dataclass(frozen=True)
class DemoSettings:
    """What is shown.

    Attributes
    ----------
    out
        Folder of everything that is made.
    n_species, n_observations
        Of the drawn photographs: species, and plants of each.
    backbones
        Networks; the first that can learn is fine-tuned.
    weights
        As `featstore build` takes them; none for those of ImageNet, or that come with the package.
    side_px
        Side of the input; None for each network's own.
    epochs
        Most epochs of fine-tuning.
    seed
        Of what is drawn.

    Raises
    ------
    SettingsError
        If a network is unknown, the side too small for it, none can learn, so many plants cannot be drawn, or a number
        is out of range.
    """

    out: Path
    n_species: int = 16
    n_observations: int = 24
    backbones: tuple[str, ...] = NETWORKS
    weights: tuple[str, ...] = ()
    side_px: int | None = None
    epochs: int = 30
    seed: int = 1

    def __post_init__(self) -> None:
        # What cannot be drawn or trained is refused before the first step.
        self.drawn()
        TrainSettings(epochs=self.epochs, seed=self.seed)
        for name in self.backbones:
            check_options(name, "avg", self.side_px)
        if all(BACKBONES[name].baseline for name in self.backbones):
            got = ", ".join(self.backbones) or "none"
            raise SettingsError("a --backbone that can be fine-tuned", got, "Name one, for example seedling.")

    def drawn(self) -> SynthSettings:
        """What is drawn."""
        return SynthSettings(
            n_species=self.n_species, n_observations=self.n_observations, side_px=PHOTOGRAPH_PX, seed=self.seed,
            variation=VARIATION, n_authors=max(1, self.n_species * self.n_observations // OBSERVATIONS_PER_AUTHOR),
        )  # fmt: skip

    @property
    def trained(self) -> str:
        """The network that is fine-tuned."""
        return next(name for name in self.backbones if not BACKBONES[name].baseline)

    @property
    def partner(self) -> str:
        """The network whose logistic head is fused with it: one that looks for something else, where there is one."""
        return next((name for name in self.backbones if BACKBONES[name].baseline), self.trained)

    @property
    def has_random_weights(self) -> bool:
        """Whether some network has learnt nothing."""
        return any(random_seed(text.partition("=")[2] or text) is not None for text in self.weights)

    @property
    def photos(self) -> Path:
        """The drawn photographs."""
        return self.out / "photos"

    @property
    def store(self) -> Path:
        """The feature store."""
        return self.out / "features.zarr"

    @property
    def runs(self) -> Path:
        """Folder of runs."""
        return self.out / "runs"

    @property
    def report(self) -> Path:
        """The HTML page."""
        return self.out / "report.html"


def demo_steps(settings: DemoSettings) -> list[Step]:
    """List the steps, each behind those that it needs."""
    photos, store, runs, seed = str(settings.photos), str(settings.store), str(settings.runs), str(settings.seed)
    mlp, whole = (f"{runs}/{settings.trained}-{end}" for end in ("mlp", "finetuned"))
    logistic = f"{runs}/{settings.partner}-logistic"
    synth = ["featstore", "synth", photos, "--species", str(settings.n_species)]
    synth += ["--observations", str(settings.n_observations), "--variation", str(VARIATION), "--seed", seed]
    synth += ["--side", str(PHOTOGRAPH_PX), "--authors", str(settings.drawn().n_authors)]
    build = ["featstore", "build", photos, "--store", store]
    build += [word for name in settings.backbones for word in ("--backbone", name)]
    build += [word for text in settings.weights for word in ("--weights", text)]
    # One photograph is damaged on purpose.
    build += [*(("--side", str(settings.side_px)) if settings.side_px else ()), "--max-failures", "1"]
    heads = ["heads", "compare", store, "--head", "mlp", "--head", "logistic", "--out", runs]
    train = ["finetune", "run", store, "--from", runs, "--backbone", settings.trained]
    train += [*(TRAINING if settings.trained == NETWORKS[0] else ()), "--epochs", str(settings.epochs)]
    fuse = ["evaluate", "fuse", logistic, whole, "--out", runs]
    article = ["evaluate", "article", logistic, whole, "--out", runs]
    report = ["evaluate", "report", runs, "--store", store, "--out", str(settings.report)]
    found = settings.runs
    return [
        Step("photographs", tuple(synth), (), (settings.photos / "synth.json",)),
        Step("features", tuple(build), ("photographs",), (settings.store,), ("--replace",)),
        Step("heads", tuple(heads), ("features",), (found / "leaderboard.csv", Path(mlp), Path(logistic))),
        Step("finetune", tuple(train), ("heads",), (Path(whole) / CARD,), ("--restart",)),
        Step("fuse", tuple(fuse), ("finetune",), (found / "fusion-mean" / CARD,)),
        Step("article", tuple(article), ("finetune",), (found / "article" / "article.md",)),
        Step("report", tuple(report), ("fuse",), (settings.report,)),
    ]
