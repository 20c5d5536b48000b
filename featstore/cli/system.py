"""`featstore system`: what phytobench runs on here, and what will be slow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from featstore import shell

if TYPE_CHECKING:
    from featstore.system import SystemReport

_MIB, _GIB = 2**20, 2**30


def system(
    store: Annotated[
        str | None,
        typer.Argument(metavar="[STORE]", help="Also look at the disk of this store.", show_default=False),
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Neither start Keras nor try how fast the disks are.")] = False,
    json: shell.JsonOption = False,
) -> None:
    """Show what phytobench runs on: backend, graphics card, processor, memory, disks, weights, versions.

    Ends with what will be slow on this machine, why, and what helps. Keras is asked in a process of its own, so a
    broken driver shows as a line in the table.

    For example:

    - `featstore system`

    - `featstore system features.zarr --json`
    """
    from featstore.system import look

    report = look(store, quick=quick)
    if json:
        shell.print_json(report.to_json())
    else:
        _show(report)


def _show(report: SystemReport) -> None:
    from featstore.errors import listed

    shell.print_table("Machine", ["what", "value"], _machine(report))
    shell.print_table(
        "Disks",
        ["for", "path", "free GiB", "of", "kind", "MB/s written"],
        [
            [disk.use, disk.path, f"{disk.free / _GIB:.1f}", f"{disk.total / _GIB:.1f}", disk.kind or "-",
             "-" if disk.bytes_per_second is None else f"{disk.bytes_per_second / 1e6:.0f}"]
            for disk in report.disks
        ],
    )  # fmt: skip
    shell.print_table("Versions", ["package", "version"], [list(pair) for pair in report.versions.items()])
    if report.extras:
        rows = [
            [name, f"lacks {listed(list(lacks), 3)}" if lacks else "installed"] for name, lacks in report.extras.items()
        ]
        shell.print_table("Extras", ["extra", "state"], rows)
    weights = [
        [file.backbone, "missing" if file.size is None else "downloaded",
         "-" if file.size is None else f"{file.size / _MIB:.1f}", file.file]
        for file in report.weights
    ]  # fmt: skip
    weights += [
        [name.rpartition("/")[2], "shipped", f"{size / _MIB:.1f}", name] for name, size in report.shipped.items()
    ]
    shell.print_table("Weights (ImageNet)", ["network", "state", "MiB", "file"], weights)
    if report.slow:
        rows = [[slow.what, slow.why, slow.remedy] for slow in report.slow]
        shell.print_table("What will be slow, and why", ["what", "why", "what helps"], rows)
    else:
        shell.print_line("Nothing here is known to be slow.")


def _machine(report: SystemReport) -> list[list[str]]:
    engine, cpu, memory = report.engine, report.processor, report.memory
    cards = [f"{card.name}, {card.memory / _GIB:.0f} GiB, driver {card.driver}" for card in report.cards]
    cores = f"{cpu.usable} of {cpu.cores}" + ("" if cpu.quota is None else f", {cpu.quota:g} cores' worth of time")
    limit = "" if memory.limit is None else f"; limit {memory.limit / _GIB:.1f}"
    flags = "not told by this system" if cpu.instructions is None else " ".join(cpu.instructions) or "none known"
    return [
        ["platform", report.platform],
        ["Keras computes with", f"{engine.backend}{'' if engine.installed else ' (not installed)'}"],
        ["devices that Keras sees", _devices(report)],
        ["graphics cards (nvidia-smi)", "; ".join(cards) or "none"],
        ["processor", cpu.name],
        ["instruction sets", flags],
        ["cores", cores],
        ["load", "not told by this system" if cpu.load is None else f"{cpu.load:.1f}"],
        ["memory, GiB", f"{memory.total / _GIB:.1f}; free {memory.available / _GIB:.1f}{limit}"],
    ]


def _devices(report: SystemReport) -> str:
    engine = report.engine
    if engine.problem:
        return f"not told: {engine.problem}"
    if engine.devices is None:
        return "not asked"
    return f"{', '.join(engine.devices) or 'none'} (started in {engine.seconds:.1f} s)"
