"""`evaluate identify`: photographs of one plant become ranked species."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from evaluation.identify import N_NEIGHBOURS, TOP
from featstore import shell
from featstore.errors import counted

ModelOption = Annotated[
    list[Path],
    typer.Option(
        "--model",
        metavar="RUN",
        help="Run folder of heads compare or finetune run; repeatable, all are fused. Or one folder of evaluate fuse.",
        show_default=False,
    ),
]
FixedRuleOption = Annotated[
    str | None,
    typer.Option(
        "--rule", help="How photographs and models are fused, a fixed rule: mean, product, median, ... [default: mean]"
    ),
]
RankedOption = Annotated[int, typer.Option("--top", metavar="K", min=1, help="How many species are ranked.")]
NeighboursOption = Annotated[
    int, typer.Option("--neighbours", metavar="N", min=0, help="Similar training photographs to show of each one.")
]
ThresholdOption = Annotated[
    str | None,
    typer.Option(
        "--threshold",
        metavar="FILE|NUMBER",
        help="From which probability on a plant is named: a threshold.json of evaluate unknown, or a number. "
        "[default: the one of a single run, if there is one]",
    ),
]
TaxaOption = Annotated[
    str | None,
    typer.Option(
        "--papers",
        metavar="STORE|DATASET",
        help="Feature store or data set that tells genus and family. [default: the store of the runs]",
    ),
]
StoreOption = Annotated[
    str | None, typer.Option("--store", help="Feature store of the runs, if it has moved. [default: where it was]")
]
WeightsOption = Annotated[
    str | None,
    typer.Option("--weights", metavar="FILE|FOLDER", help="Weights of the backbones, if they have moved."),
]
PhotosOption = Annotated[
    Path | None,
    typer.Option("--photos", metavar="FOLDER", help="Photographs of the store, if they have moved."),
]


def identify(
    photographs: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE[:VIEW]",
            help="Photographs of ONE plant. VIEW: Branch, Entire, Flower, Fruit, Leaf, LeafScan, Stem; left out: open.",
            show_default=False,
        ),
    ],
    model: ModelOption,
    rule: FixedRuleOption = None,
    top: RankedOption = TOP,
    neighbours: NeighboursOption = N_NEIGHBOURS,
    threshold: ThresholdOption = None,
    papers: TaxaOption = None,
    store: StoreOption = None,
    weights: WeightsOption = None,
    photos: PhotosOption = None,
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Also write the answer as JSON.")] = None,
    as_json: shell.JsonOption = False,
) -> None:
    """Identify one plant: ranked species, genus and family, by all its photographs and all models together.

    All photographs must be of the same plant; another plant is another call. One that cannot be read is told and left
    out (exit code 3). Nothing is written without --out.

    For example:

    - `evaluate identify a.jpg:Flower b.jpg:Leaf --model runs/resnet50-mlp`
    """
    from evaluation.identify.display import show
    from evaluation.identify.identify import require_photographs
    from evaluation.identify.opening import Places, open_panel
    from evaluation.identify.views import photograph_named
    from featstore.provenance import write_json

    shown = [photograph_named(text) for text in photographs]
    require_photographs(shown)  # before any network is loaded
    places = Places(store, photos, weights)
    panel = open_panel(model, rule=rule, places=places, threshold=threshold, papers=papers)
    found = panel.identify(shown, top=top, n_neighbours=neighbours)
    for remark in found.remarks:
        shell.say(f"note: {remark}")
    if out is not None:
        write_json(out, found.to_json())
    if as_json:
        shell.print_json(found.to_json())
    else:
        show(found)
    if found.failures:
        told = counted(len(found.failures), "photograph is", "photographs are") + " left out"
        shell.warn_of_each(told, found.failures.items(), "--json lists all")
        raise typer.Exit(shell.EXIT_INCOMPLETE)
