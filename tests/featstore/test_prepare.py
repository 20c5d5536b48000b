"""Worker processes that prepare photographs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image

import featstore

CALL = """
from pathlib import Path
from featstore.build.prepare import Job, prepare_all
from featstore.roi import load_recipe

def work():
    jobs = [Job("a", Path("a.png"), load_recipe("none").views["Leaf"], (8,))]
    print([found.failed for found in prepare_all(jobs, 2, 4)])
"""


def script(folder: Path, end: str) -> subprocess.CompletedProcess[str]:
    Image.fromarray(np.zeros((9, 9, 3), np.uint8)).save(folder / "a.png")
    (folder / "script.py").write_text(CALL + end)
    environment = {**os.environ, "PYTHONPATH": str(Path(featstore.__file__).parents[1])}
    return subprocess.run(
        [sys.executable, "script.py"], cwd=folder, env=environment, capture_output=True, text=True, check=False,
        timeout=120,
    )  # fmt: skip


def test_a_script_that_is_imported_by_its_own_processes_is_told_what_it_lacks(tmp_path: Path) -> None:
    bare = script(tmp_path, "work()\n")
    assert bare.returncode == 1
    assert 'must call this below `if __name__ == "__main__":`' in bare.stderr
    guarded = script(tmp_path, "if __name__ == '__main__':\n    work()\n")
    assert (guarded.returncode, guarded.stdout) == (0, "[False]\n"), guarded.stderr
