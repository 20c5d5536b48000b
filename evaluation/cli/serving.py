"""`evaluate serve`: a page in the browser, and a JSON API, that identify plants."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from evaluation.cli.identifying import (
    FixedRuleOption,
    ModelOption,
    NeighboursOption,
    PhotosOption,
    RankedOption,
    StoreOption,
    TaxaOption,
    ThresholdOption,
    WeightsOption,
)
from evaluation.identify import N_NEIGHBOURS, TOP
from evaluation.serve.limits import MB, Limits
from featstore import shell


def serve(
    model: ModelOption,
    host: Annotated[
        str, typer.Option("--host", help="Address to listen at; 0.0.0.0 lets other machines in.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="0 for any free one.")] = 8000,
    allow_host: Annotated[
        list[str] | None,
        typer.Option("--allow-host", metavar="NAME", help="Name that the server may be called by; repeatable."),
    ] = None,
    browser: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
    keep: Annotated[
        Path | None,
        typer.Option("--keep", metavar="FOLDER", help="Keep photographs and answers there. [default: nothing is kept]"),
    ] = None,
    rule: FixedRuleOption = None,
    top: RankedOption = TOP,
    neighbours: NeighboursOption = N_NEIGHBOURS,
    threshold: ThresholdOption = None,
    papers: TaxaOption = None,
    store: StoreOption = None,
    weights: WeightsOption = None,
    photos: PhotosOption = None,
    max_photographs: Annotated[
        int, typer.Option("--max-photographs", metavar="N", min=1, help="Photographs of a request, all of one plant.")
    ] = Limits.n_photographs,
    max_file: Annotated[
        float, typer.Option("--max-file", metavar="MB", help="Size of one photograph's file.")
    ] = Limits.file_bytes // MB,
    max_total: Annotated[
        float, typer.Option("--max-total", metavar="MB", help="Size of one request.")
    ] = Limits.total_bytes // MB,
    max_megapixels: Annotated[
        float, typer.Option("--max-megapixels", metavar="MP", help="Pixels of one photograph.")
    ] = Limits.pixels // MB,
    timeout: Annotated[
        float, typer.Option("--timeout", metavar="SECONDS", help="From a request's first byte to its answer.")
    ] = Limits.timeout_s,
    max_waiting: Annotated[
        int, typer.Option("--max-waiting", metavar="N", min=1, help="Requests that may wait; one more is sent away.")
    ] = Limits.n_waiting,
) -> None:
    """Identify plants in the browser: drop the photographs of ONE plant on a page, see its species.

    The photographs of a request must all be of the same plant; another plant is another request.

    The same as JSON: POST /api/identify, described at /docs. Only this machine can ask, nothing is kept and nothing
    is loaded from the network, unless options say otherwise. Ctrl-C ends it.

    For example:

    - `evaluate serve --model runs/resnet50-mlp --open`
    """
    from evaluation.serve.running import address_of, is_loopback, listen, require_extra, run_server

    require_extra()
    from evaluation.identify.opening import Places, open_panel
    from evaluation.serve.answering import Asking
    from evaluation.serve.app import ServeSettings, make_app

    limits = Limits(
        file_bytes=_bytes(max_file),
        n_photographs=max_photographs,
        total_bytes=_bytes(max_total),
        pixels=_bytes(max_megapixels),
        timeout_s=timeout,
        n_waiting=max_waiting,
    )
    # Before the models: a taken port shall not be told of after a minute of loading.
    with listen(host, port) as listener:
        if keep is not None:
            keep.mkdir(parents=True, exist_ok=True)
        panel = open_panel(model, rule=rule, places=Places(store, photos, weights), threshold=threshold, papers=papers)
        for remark in panel.remarks:
            shell.say(f"note: {remark}")
        settings = ServeSettings(limits, Asking(top, neighbours), keep, tuple(allow_host or ()))
        app = make_app(panel, settings)
        if not is_loopback(host):
            shell.warn(f"{host} can be reached from other machines, without password or encryption.")
        address = address_of(listener)
        names = ", ".join(one.model for one in panel.identifiers)
        shell.say(f"{address} identifies plants by {names}; Ctrl-C ends it.")
        if browser:
            typer.launch(address)
        run_server(app, listener, max_waiting)


def _bytes(millions: float) -> int:
    """Millions as a number; what is none (infinity, NaN) is refused by the limits."""
    return int(millions * MB) if 0 < millions < float("inf") else 0
