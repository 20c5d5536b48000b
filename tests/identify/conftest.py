"""The small network of the tests of fine-tuning, for runs that take seconds."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session", autouse=True)
def _small(small_backbone: Path) -> None:
    """Every test here knows the small network."""
