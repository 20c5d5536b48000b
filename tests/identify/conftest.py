"""The small network of the tests of fine-tuning, for runs that take seconds."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="session", autouse=True)
def small_backbone() -> Iterator[None]:
    """Let `--backbone small` name a network of two convolutions."""
    path = Path(__file__).parents[1] / "finetune" / "small_backbone.py"
    found = importlib.util.spec_from_file_location("small_backbone", path)
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, found.name, module)
        found.loader.exec_module(module)
        module.register(patch)
        yield
