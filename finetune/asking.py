"""Asking: a fine-tuned network answers for photographs that are stored, or that nobody has seen before."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pandas as pd

from evaluation.identify.contract import Photograph
from evaluation.identify.familiar import as_learnt, remarks_on
from evaluation.predictions import Predictions
from evaluation.runs import RunCard, read_run_card
from featstore import shell
from featstore.backbones import preprocess
from featstore.catalog import Catalog, make_catalog
from featstore.errors import StoreError, TrainingError, counted, listed
from featstore.provenance import provenance, sha256_of_file
from featstore.readers import folders, read_dataset, reader_of
from featstore.readers.reader import is_photograph
from featstore.roi import Recipe
from featstore.store import Store
from featstore.table import load_table
from finetune.card import NetworkRecipe, seed_of
from finetune.crops import Crops, cut_photographs
from finetune.predict import Viewing, predict, with_log_sum_exp
from finetune.saved import load_network
from heads.asking import SPLIT, Asked, answered, require_kind, require_no_run
from heads.learnt import is_learnt, views_learnt


def ask(
    run: Path,
    source: str,
    out: Path,
    *,
    tta: int = 0,
    unseen: bool = False,
    photos: Path | None = None,
    batch_size: int = 32,
) -> tuple[Asked, dict[str, str]]:
    """Let the network of a run answer for photographs.

    Parameters
    ----------
    run
        Folder of a run that `finetune run` wrote.
    source
        A feature store (its boxes are used), or photographs in any form that `featstore build` takes: then regions
        are found by the recipe that the network was trained with.
    out
        Folder for the predictions and the answers.
    tta
        Variants averaged with each photograph; 0 for none.
    unseen
        Leave out the photographs that the run has learnt or chosen from, under whatever names they come.
    photos
        Where the photographs of a store are now; None for where it was built from.
    batch_size
        Photographs per call.

    Returns
    -------
    asked : Asked
        Predictions and answers.
    failures : dict[str, str]
        image_id and reason of every photograph that could not be used.

    Raises
    ------
    PhytobenchError
        If the run is no fine-tuned network or damaged, or the source cannot be read.
    """
    card = card_to_ask(run, out)
    network = load_network(run)
    out.mkdir(parents=True, exist_ok=True)
    cache = Path(tempfile.mkdtemp(prefix=".photographs-", dir=out))
    try:
        crops = asked_about(card, run, source, photos, unseen=unseen).cut(cache)
        viewing = viewing_of(card, batch_size, tta)
        answer, speed = predict(with_log_sum_exp(network), crops, np.arange(len(crops.papers)), viewing, "predicting")
    finally:
        shutil.rmtree(cache, ignore_errors=True)
    papers = _known_classes(crops.papers, card)
    predictions = Predictions.from_papers(
        papers, model=card.model, split=SPLIT, classes=np.array(sorted(card.classes)), probability=answer[:, :-1],
        images_per_second=speed, provenance=provenance(run=str(run.resolve()), source=source, tta=tta),
        log_sum_exp=answer[:, -1],
    )  # fmt: skip
    return answered(card, predictions, out), dict(crops.failures)


def card_to_ask(run: Path, out: Path) -> RunCard:
    """The card of a run whose network can be asked; answers into the folder of a run are refused."""
    card = read_run_card(run)
    require_no_run(out)
    require_kind(card, run, "finetuned")
    return card


def viewing_of(card: RunCard, batch_size: int, tta: int) -> Viewing:
    """How the network of a run looks at photographs."""
    return Viewing(partial(preprocess, NetworkRecipe.of(card).backbone), batch_size, tta, seed_of(card))


@dataclass(frozen=True)
class Wanted:
    """Photographs that a network is asked about, and how they are cut for it."""

    papers: pd.DataFrame
    root: Path
    side_px: int
    recipe: Recipe

    def cut(self, cache: Path) -> Crops:
        """Decode and cut them into a folder."""
        return cut_photographs(self.papers, self.root, self.side_px, self.recipe, cache)


def asked_about(card: RunCard, run: Path, source: str, photos: Path | None, *, unseen: bool) -> Wanted:
    """The photographs that `ask` is called with, by the same arguments."""
    views = views_learnt(run, [NetworkRecipe.of(card).roi])
    return wanted_of(card, source, photos, views=views, not_learnt_by=run if unseen else None)


def crops_of(card: RunCard, source: str, cache: Path, photos: Path | None) -> Crops:
    """Cut the photographs of a source as the network of a run is to see them; see `wanted_of`."""
    return wanted_of(card, source, photos).cut(cache)


def wanted_of(
    card: RunCard,
    source: str,
    photos: Path | None,
    *,
    views: Mapping[str, bool] = MappingProxyType({}),
    not_learnt_by: Path | None = None,
) -> Wanted:
    """Find the photographs of a source, and how the network of a run is to see them.

    Parameters
    ----------
    card
        Of the run.
    source, photos
        See `ask`.
    views
        Those that the run has learnt, see `views_learnt`; none for all.
    not_learnt_by
        Folder of a run whose learnt photographs are left out.

    Raises
    ------
    PredictionsError
        If the run does not say how to cut, or its card is damaged.
    StoreError
        If a store does not cut as the run's photographs were cut.
    TrainingError
        If no photograph is left.
    """
    made = NetworkRecipe.of(card)
    recipe = made.roi
    if "://" in source or (Path(source) / "zarr.json").is_file():
        store = Store.open(source)
        names = [name for name in store.backbones if store.column(name).recipe.identity == recipe.identity]
        if not names:
            raise StoreError(
                f"a store whose photographs were cut by {recipe.identity}",
                f"none of {', '.join(store.backbones)} in {store.location}",
                "Give the folder of photographs instead.",
            )
        papers, root = load_table(store, names[:1]).papers, photos or store.root
    else:
        catalog = _read(Path(source))
        for text in catalog.warnings:
            shell.warn(text)
        papers, root = _in_learnt_views(catalog, views, card.model), catalog.root
    if not_learnt_by is not None:
        known = is_learnt(not_learnt_by, _digests(papers, root))
        shell.say(f"{known.sum()} of {len(known)} photographs are left out: the run has learnt or chosen from them")
        papers = papers[~known].reset_index(drop=True)
    if papers.empty:
        raise TrainingError("photographs that the run has not seen", "none", "Leave out --unseen.")
    return Wanted(papers, root, made.side_px, recipe)


def _in_learnt_views(catalog: Catalog, views: Mapping[str, bool], model: str) -> pd.DataFrame:
    """Papers whose photographs are cut as the model has seen photographs; what that changes is told."""
    frame = catalog.frame
    named = [
        Photograph(str(image_id), catalog.root / str(path), str(view))
        for image_id, path, view in zip(frame["image_id"], frame["path"], frame["view"], strict=True)
    ]
    for text in remarks_on(named, views, model):
        shell.warn(text)
    return frame.assign(view=[one.view for one in as_learnt(named, views)])


def _digests(papers: pd.DataFrame, root: Path) -> list[str]:
    """sha256 of each photograph: as a store knows it, else of the file; "" of one that cannot be read."""
    if "sha256" in papers:
        return [str(digest) for digest in papers["sha256"]]

    def digest_of(path: str) -> str:
        try:
            return sha256_of_file(root / path)
        except OSError:
            return ""  # told when it is to be cut

    with shell.progress(len(papers), "comparing", "images") as bar, ThreadPoolExecutor() as threads:
        found = []
        for digest in threads.map(digest_of, papers["path"]):
            found.append(digest)
            bar.update()
    return found


def _read(source: Path) -> Catalog:
    """A data set in any known form; also one photograph, or a folder of photographs that nobody has named yet."""
    if source.is_file() and is_photograph(source):
        return _unnamed([source], source.parent)
    there = sorted(source.iterdir()) if source.is_dir() else []
    loose = [path for path in there if is_photograph(path)]
    # Records or a table beside the photographs name them.
    if loose and not any(path.is_dir() for path in there) and reader_of(source) is folders.READER:
        return _unnamed(loose, source)
    return read_dataset(source, new=True)


def _unnamed(photographs: Sequence[Path], root: Path) -> Catalog:
    """Photographs of unknown class, view and author, each a plant of its own."""
    records = [
        {"image_id": path.name, "observation_id": path.name, "path": path.name, "view": "Unknown", "split": "test"}
        for path in photographs
    ]
    return make_catalog(records, root, root.resolve().name)


def _known_classes(papers: pd.DataFrame, card: RunCard) -> pd.DataFrame:
    """Classes that the network does not know are no truth that it could be judged by."""
    classes = papers["class_id"].astype(str)
    strange = (classes != "") & ~classes.isin(list(card.classes))
    if strange.any():
        names = sorted(classes[strange].unique().tolist())
        told = counted(int(strange.sum()), "photograph is", "photographs are")
        shell.warn(f"{told} of classes that {card.model} does not know: {listed(names)}")
    return papers.assign(class_id=classes.where(~strange, ""))
