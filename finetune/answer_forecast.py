"""Forecast of answers: how many photographs a network is asked about, about how long that takes and the room for it."""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from featstore.provenance import Json, free_bytes
from finetune.asking import asked_about, card_to_ask, viewing_of
from finetune.predict import predict, with_log_sum_exp
from finetune.saved import load_network

N_LOOKED_AT = 12
"""Photographs that are decoded to tell how long that takes."""


@dataclass(frozen=True)
class AnswerForecast:
    """What asking a network would take; seconds and bytes.

    Attributes
    ----------
    n_images, n_observations
        Photographs and plants that it would answer for.
    n_variants
        Variants averaged with each photograph.
    decode_s, predict_s
        Of one photograph: decoded and cut, on all processors; predicted with its variants.
    start_s
        To load the network and to compile it.
    n_bytes, free_bytes
        Room for the cut photographs, which are removed in the end, and for the answers; what the disk has.
    """

    run: str
    n_images: int
    n_observations: int
    n_variants: int
    decode_s: float
    predict_s: float
    start_s: float
    n_bytes: int
    free_bytes: int

    @property
    def seconds(self) -> float:
        """All of it, when nothing else runs."""
        return self.start_s + self.n_images * (self.decode_s + self.predict_s)

    def to_json(self) -> dict[str, Json]:
        """Everything as one document."""
        return {
            "schema": "answers-forecast/1",
            "run": self.run,
            "photographs": self.n_images,
            "observations": self.n_observations,
            "variants": self.n_variants,
            "seconds": round(self.seconds, 3),
            "seconds_to_start": round(self.start_s, 3),
            "seconds_per_photograph": {"decoding": round(self.decode_s, 6), "predicting": round(self.predict_s, 6)},
            "bytes": self.n_bytes,
            "free_bytes": self.free_bytes,
        }


def foresee_answers(
    run: Path,
    source: str,
    out: Path,
    *,
    tta: int = 0,
    unseen: bool = False,
    photos: Path | None = None,
    batch_size: int = 32,
) -> AnswerForecast:
    """Tell what `finetune.asking.ask` would do with the same arguments; some photographs are cut, one batch predicted.

    Raises
    ------
    PhytobenchError
        As `ask` would; also if none of the photographs that are looked at can be read.
    """
    card = card_to_ask(run, out)
    wanted = asked_about(card, run, source, photos, unseen=unseen)
    n_images = len(wanted.papers)
    started = time.perf_counter()
    network = with_log_sum_exp(load_network(run))
    load_s = time.perf_counter() - started
    # Nothing is written where the answers are to be.
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        some = np.unique(np.linspace(0, n_images - 1, N_LOOKED_AT).astype(int))
        started = time.perf_counter()
        crops = replace(wanted, papers=wanted.papers.iloc[some].reset_index(drop=True)).cut(Path(folder))
        decode_s = (time.perf_counter() - started) / len(some)
        # A whole batch of the size that it will have, whichever photographs fill it.
        rows = np.resize(np.arange(len(crops.papers)), min(batch_size, n_images))
        started = time.perf_counter()
        _, speed = predict(network, crops, rows, viewing_of(card, batch_size, tta), "measuring")
        compile_s = time.perf_counter() - started - len(rows) / speed
    n_bytes = n_images * (3 * wanted.side_px**2 + 4 * len(card.classes))
    n_observations = int(wanted.papers["observation_id"].nunique())
    return AnswerForecast(
        card.model, n_images, n_observations, tta, decode_s, 1 / speed, load_s + compile_s, n_bytes, free_bytes(out)
    )
