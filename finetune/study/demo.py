"""The demo as steps: drawn photographs, the four commands, and a page about what they found."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from evaluation.runs import CARD
from featstore.backbones import check_options
from featstore.errors import SettingsError
from finetune.study.step import Step


@dataclass(frozen=True)
class DemoSettings:
    """What is shown.

    Attributes
    ----------
    out
        Folder of everything that is made.
    n_species, n_observations
        Of the drawn photographs: species, and plants of each.
    backbones, weights, side_px
        Networks, their weights, and the side of their input; None for each network's own.
    epochs
        Most epochs of fine-tuning.
    seed
        Seed of everything random.

    Raises
    ------
    SettingsError
        If a network is unknown, or the side too small for it.
    """

    out: Path
    n_species: int
    n_observations: int
    backbones: tuple[str, ...]
    weights: str
    side_px: int | None
    epochs: int
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.backbones:
            raise SettingsError("at least one --backbone", "none", "Name one, for example --backbone mobilenet.")
        for name in self.backbones:
            check_options(name, "avg", self.side_px)

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
    drawn = ("--species", str(settings.n_species), "--observations", str(settings.n_observations), "--seed", seed)
    networks = [word for name in settings.backbones for word in ("--backbone", name)]
    made = ("--weights", settings.weights, *(("--side", str(settings.side_px)) if settings.side_px else ()))
    trained = tuple(settings.runs / f"{name}-finetuned" / CARD for name in settings.backbones)
    heads = ("--seed", seed, "--out", runs)
    training = ("--from", runs, *networks, "--epochs", str(settings.epochs), "--seed", seed)
    # One photograph is damaged on purpose.
    build = ("featstore", "build", photos, "--store", store, *networks, *made, "--max-failures", "1")
    found = (settings.store,)
    fuse = ("evaluate", "fuse", f"{runs}/*-mlp", f"{runs}/*-finetuned", "--tta", "--out", runs)
    fused = (settings.runs / "fusion-mean" / CARD,)
    report = ("evaluate", "report", runs, "--store", store, "--html", str(settings.report))
    return [
        Step("photographs", ("featstore", "synth", photos, *drawn), (), (settings.photos / "synth.json",)),
        Step("features", build, ("photographs",), found, ("--replace",)),
        Step("heads", ("heads", "compare", store, *heads), ("features",), (settings.runs / "leaderboard.csv",)),
        Step("finetune", ("finetune", "run", store, *training), ("heads",), trained, ("--restart",)),
        Step("fuse", fuse, ("finetune",), fused),
        Step("report", report, ("fuse",), (settings.report,)),
    ]
