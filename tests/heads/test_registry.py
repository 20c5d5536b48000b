from __future__ import annotations

import subprocess
import sys

import pytest

from featstore.errors import SettingsError
from heads.head import Head
from heads.registry import HEADS, create_head


@pytest.mark.parametrize("name", list(HEADS))
def test_the_table_names_each_head_as_it_names_itself(name: str) -> None:
    head = create_head(name, seed=4)
    assert isinstance(head, Head)
    assert head.name == name
    assert head.seed == 4
    assert HEADS[name].summary


def test_an_unknown_head_is_refused_with_those_there_are() -> None:
    with pytest.raises(SettingsError, match="prototype, view_experts, dummy, got 'oracle'"):
        create_head("oracle")


@pytest.mark.parametrize(("name", "unneeded"), [("logistic", {"keras", "lightgbm"}), ("lightgbm", {"keras"})])
def test_a_head_loads_no_library_of_another(name: str, unneeded: set[str]) -> None:
    script = (
        "import sys; from heads.registry import create_head\n"
        f"create_head({name!r})\n"
        f"sys.exit(', '.join({unneeded!r} & set(sys.modules)) or None)\n"
    )
    found = subprocess.run([sys.executable, "-c", script], check=False, capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
