"""What will be slow, or not run at all, on a machine, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from featstore.backbones.table import ARTICLE_BACKBONES
from featstore.system.hardware import Disk, Memory, Processor
from featstore.system.software import Card, Engine, WeightFile, is_installed

GIB = 2**30
FEW_BYTES = 3 * GIB
"""A build with the four networks of the article takes 2.1 GiB."""

LITTLE_ROOM = 5 * GIB
SLOW_DISK = 50e6
"""Bytes per second; below this a build may wait for its disk."""


@dataclass(frozen=True)
class Slow:
    """One thing: what it is about, what follows, and what helps."""

    what: str
    why: str
    remedy: str


def find_slow(
    system: str,
    engine: Engine,
    cards: Sequence[Card],
    processor: Processor,
    memory: Memory,
    disks: Sequence[Disk],
    weights: Sequence[WeightFile],
) -> tuple[Slow, ...]:
    """Find everything that will be slow, the worst first.

    Parameters
    ----------
    system
        As `platform.system()` says it.
    """
    return (
        *_engine(engine),
        *_graphics(system, engine, cards),
        *_processor(processor, engine),
        *_cores(processor),
        *_memory(memory),
        *(found for disk in disks for found in _disk(disk)),
        *_weights(weights),
    )


def _engine(engine: Engine) -> Iterator[Slow]:
    if not engine.installed:
        yield Slow(
            "no networks",
            f"Keras is to compute with {engine.backend}, which is not installed: features and fine-tuning do not run; "
            "heads and evaluation do, except the head mlp",
            f"pip install {engine.backend}, or name another backend in KERAS_BACKEND",
        )
    if engine.problem:
        yield Slow(
            "Keras does not start",
            engine.problem,
            'see it whole with: python -c "import keras; print(keras.distribution.list_devices())"',
        )


def _graphics(system: str, engine: Engine, cards: Sequence[Card]) -> Iterator[Slow]:
    if engine.devices is None or engine.accelerators:
        return
    if cards and system == "Windows" and engine.backend == "tensorflow":
        yield Slow(
            "graphics card unused",
            "TensorFlow for Windows computes on the processor alone",
            "run phytobench within WSL2, or set KERAS_BACKEND=torch with a PyTorch for CUDA",
        )
    elif cards:
        yield Slow(
            "graphics card unused",
            f"there is {cards[0].name} with driver {cards[0].driver}, and {engine.backend} does not see it",
            'pip install "phytobench[cuda]" (Linux), or look whether the driver is too old',
        )
    else:
        yield Slow(
            "no graphics card",
            "networks run on the processor; two idle cores of an AMD EPYC pass about 7 photographs a second through "
            "vgg16, 6 through vgg19, 25 through resnet50, 17 through inception_v3 and 80 through mobilenet",
            "fewer or lighter networks (--backbone mobilenet); several machines (featstore build --part I/N); one with "
            "a graphics card. featstore build --dry-run estimates it for your photographs",
        )


def _processor(processor: Processor, engine: Engine) -> Iterator[Slow]:
    known = processor.instructions
    if known is None or "asimd" in known or engine.accelerators:
        return
    if "avx2" not in known:
        yield Slow(
            "an old processor",
            "the libraries' fast kernels need AVX2; what is left was not measured",
            "another machine",
        )
    elif "avx512f" not in known:
        has = is_installed("openvino")
        yield Slow(
            "no AVX-512",
            "without it TensorFlow reaches three quarters of what the processor can; on such a machine OpenVINO was "
            "1.5 times as fast for resnet50 and 1.3 times for inception_v3",
            "featstore build --engine openvino"
            if has
            else 'pip install "phytobench[openvino]", then --engine openvino',
        )


def _cores(processor: Processor) -> Iterator[Slow]:
    usable = processor.usable if processor.quota is None else min(processor.usable, processor.quota)
    if usable < processor.cores:
        why = f"of {processor.cores} cores this process may use {usable:g}"
        threads = max(1, int(usable))
        remedy = f"allow it more; else OMP_NUM_THREADS={threads} and --workers {threads}"
        yield Slow("few of the cores", why, remedy)
    elif usable <= 2:
        yield Slow("few cores", f"{usable:g} cores decode and compute", "--workers 1 where memory is short, too")
    if processor.load is not None and processor.load > 1.5 * usable:
        yield Slow(
            "busy", f"{processor.load:.1f} programs share {usable:g} cores now", "estimates of time hold for idle cores"
        )


def _memory(memory: Memory) -> Iterator[Slow]:
    if memory.usable < FEW_BYTES:
        yield Slow(
            "little memory",
            f"{memory.usable / GIB:.1f} GiB are free for this process; a build with the four networks takes about 2.1",
            "close other programs; one --backbone at a time; a smaller --batch-size in finetune",
        )


def _disk(disk: Disk) -> Iterator[Slow]:
    if disk.on_network:
        yield Slow(
            f"{disk.use} on a network disk",
            f"{disk.path} is {disk.kind}: many small files wait for the network",
            "build on a disk of this machine and copy the store, or --shard-rows for fewer files",
        )
    elif disk.bytes_per_second is not None and disk.bytes_per_second < SLOW_DISK:
        speed = f"{disk.path} takes {disk.bytes_per_second / 1e6:.0f} MB a second"
        yield Slow(f"{disk.use} on a slow disk", speed, "another disk, where there is one")
    if disk.free < LITTLE_ROOM:
        yield Slow(
            f"little room for {disk.use}",
            f"{disk.free / GIB:.1f} GiB free at {disk.path}; 100,000 photographs of all four networks take 2",
            "make room, or name another place",
        )


def _weights(weights: Sequence[WeightFile]) -> Iterator[Slow]:
    missing = [file.backbone for file in weights if file.size is None and file.backbone in ARTICLE_BACKBONES]
    if missing:
        yield Slow(
            "weights to download",
            f"the ImageNet weights of {', '.join(missing)} are not here yet",
            "the first build fetches them; without a network give --weights FILE, a folder of them, or random",
        )
