"""What `featstore system` sees, also of machines that are not this one, and what it says of them."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from featstore.cli import main
from featstore.system import hardware, software
from featstore.system.hardware import Disk, Memory, Processor
from featstore.system.slow import GIB, find_slow
from featstore.system.software import Card, Engine, WeightFile

GOOD = (
    "Linux",
    Engine("tensorflow", True, ("cpu:0", "gpu:0"), 5.0),
    (Card("H200", 139 * GIB, "570.1"),),
    Processor("EPYC", ("avx", "avx2", "fma", "avx512f"), 16, 16, None, 0.5),
    Memory(64 * GIB, 60 * GIB, None),
    (Disk("store", "/data", 500 * GIB, 900 * GIB, "ext4", 900e6),),
    (WeightFile("vgg16", "vgg16.h5", 58_000_000),),
)


def told(**changes: object) -> dict[str, str]:
    """What is told of a good machine with some things changed: about what, and what helps."""
    names = ("system", "engine", "cards", "processor", "memory", "disks", "weights")
    found = find_slow(*(changes.get(name, value) for name, value in zip(names, GOOD, strict=True)))  # type: ignore[arg-type]
    return {one.what: one.remedy for one in found}


def test_nothing_is_said_of_a_good_machine() -> None:
    assert told() == {}


@pytest.mark.parametrize(
    ("changes", "what", "remedy"),
    [
        ({"engine": Engine("jax", False)}, "no networks", "pip install jax"),
        ({"engine": Engine("tensorflow", True, problem="Illegal instruction")}, "Keras does not start", "import keras"),
        ({"engine": Engine("tensorflow", True, ("cpu:0",))}, "graphics card unused", "phytobench[cuda]"),
        (
            {"engine": Engine("tensorflow", True, ("cpu:0",)), "system": "Windows"},
            "graphics card unused",
            "WSL2",
        ),
        ({"engine": Engine("tensorflow", True, ("cpu:0",)), "cards": ()}, "no graphics card", "--part I/N"),
        (
            {
                "engine": Engine("tensorflow", True),
                "processor": replace(GOOD[3], instructions=("avx", "avx2")),
            },
            "no AVX-512",
            "openvino",
        ),
        ({"processor": replace(GOOD[3], quota=2.0)}, "few of the cores", "OMP_NUM_THREADS=2 and --workers 2"),
        ({"processor": replace(GOOD[3], usable=4)}, "few of the cores", "OMP_NUM_THREADS=4"),
        ({"processor": replace(GOOD[3], load=40.0)}, "busy", "idle cores"),
        ({"memory": Memory(64 * GIB, 60 * GIB, 2 * GIB)}, "little memory", "--batch-size"),
        ({"disks": (replace(GOOD[5][0], kind="nfs4"),)}, "store on a network disk", "--shard-rows"),
        ({"disks": (replace(GOOD[5][0], bytes_per_second=3e6),)}, "store on a slow disk", "another disk"),
        ({"disks": (replace(GOOD[5][0], free=GIB),)}, "little room for store", "make room"),
        ({"weights": (WeightFile("vgg16", "vgg16.h5", None),)}, "weights to download", "--weights FILE"),
    ],
)
def test_each_thing_that_is_slow_is_told_with_what_helps(changes: dict[str, object], what: str, remedy: str) -> None:
    found = told(**changes)
    assert list(found) == [what]
    assert remedy in found[what]


def group(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def test_limits_of_control_groups_of_both_versions(tmp_path: Path) -> None:
    second = group(
        tmp_path / "second",
        {
            "a/b/cpu.max": "max 100000\n",
            "a/cpu.max": "150000 100000\n",
            "a/b/memory.max": "max\n",
            "a/memory.max": "4096",
        },
    )
    of_second = tmp_path / "of_second"
    of_second.write_text("0::/a/b\n")
    # A limit of a group above holds for those within.
    assert hardware.cpu_quota(second, of_second) == 1.5
    assert hardware.memory_limit(second, of_second) == 4096
    first = group(
        tmp_path / "first",
        {
            "cpu/c/cpu.cfs_quota_us": "300000\n",
            "cpu/c/cpu.cfs_period_us": "100000\n",
            "memory/c/memory.limit_in_bytes": "8192\n",
            "memory/memory.limit_in_bytes": f"{2**63 - 4096}\n",
        },
    )
    of_first = tmp_path / "of_first"
    of_first.write_text("4:memory:/c\n1:cpu:/c\n0::/\n")
    assert hardware.cpu_quota(first, of_first) == 3.0
    assert hardware.memory_limit(first, of_first) == 8192
    assert hardware.cpu_quota(tmp_path / "none", tmp_path / "no") is None
    assert hardware.memory_limit(tmp_path / "none", tmp_path / "no") is None


def test_cards_as_the_driver_writes_them() -> None:
    text = "NVIDIA H200, 143771, 570.86.15\nTesla V100-SXM2-16GB, [N/A], 535.1\nFailed to initialize NVML\n"
    assert software.parse_cards(text) == (
        Card("NVIDIA H200", 143771 << 20, "570.86.15"),
        Card("Tesla V100-SXM2-16GB", 0, "535.1"),
    )


def test_a_backend_that_dies_or_hangs_takes_nothing_along(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(software, "_ASK", "import os; os.write(2, b'cannot open libcuda\\n'); os.abort()")
    assert "cannot open libcuda" in software.engine("tensorflow", ask=True).problem
    monkeypatch.setattr(software, "_ASK", "import time; time.sleep(60)")
    assert "no answer within 0 s" in software.engine("tensorflow", ask=True, patience_s=0.2).problem
    monkeypatch.setattr(software, "_ASK", "raise AssertionError('asked')")
    assert software.engine("no-such-backend", ask=True) == Engine("no-such-backend", False)


def test_weights_are_found_in_the_cache_of_keras(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    assert {file.size for file in software.weight_files()} == {None}
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "mobilenet_1_0_128_tf_no_top.h5").write_bytes(b"1234")
    found = {file.backbone: file for file in software.weight_files()}
    assert found["mobilenet"] == WeightFile("mobilenet", "mobilenet_1_0_128_tf_no_top.h5", 4)
    assert found["vgg16"].size is None


def test_extras_name_what_they_lack() -> None:
    found = software.extras()
    assert {"cloud", "cluster", "openvino"} <= set(found)
    for packages in found.values():
        assert not any(software.is_installed(name) for name in packages)
    assert software.extras("no-such-distribution") == {}


def test_a_disk_is_that_of_the_nearest_folder(tmp_path: Path) -> None:
    disk = hardware.disk("store", tmp_path / "not" / "yet.zarr", measure=True)
    assert disk.path == str(tmp_path)
    assert 0 < disk.free <= disk.total
    assert disk.bytes_per_second
    assert list(tmp_path.iterdir()) == []


def test_it_works_without_any_backend(tmp_path: Path) -> None:
    """In a process where neither Keras nor its backends can be imported."""
    script = (
        "import sys\n"
        "for name in ('keras', 'tensorflow', 'jax', 'torch'): sys.modules[name] = None\n"
        "from featstore.cli import main\n"
        f"main(['system', {str(tmp_path / 'f.zarr')!r}, '--quick', '--json'])\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=True)
    report = json.loads(done.stdout)
    assert report["schema"] == "system/1"
    assert report["engine"]["devices"] is None
    assert report["versions"]["python"] == ".".join(map(str, sys.version_info[:3]))
    assert [disk["use"] for disk in report["disks"]] == ["store", "temporary files", "weights"]
    assert report["memory"]["total"] > report["memory"]["available"] > 0
    assert report["processor"]["usable"] >= 1
    assert done.stderr == ""


def test_the_tables_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["system", "s3://bucket/f.zarr", "--quick"])
    assert ended.value.code == 0
    page = capsys.readouterr().out
    for word in ("Keras computes with", "instruction sets", "Versions", "vgg16", "temporary files"):
        assert word in page
    assert "s3://" not in page
