"""The table of faults: what its parts report, and what the exit status says."""

import sys
import types
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.mark.parametrize(("survived", "status"), [(3, 0), (2, 1)])
def test_one_fault_that_is_not_survived_makes_the_run_fail(monkeypatch, capsys, survived, status):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    for name in ("harness", "results_out", "faults"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    import faults

    part = types.SimpleNamespace(
        rows=lambda smoke: [{"fault": "killed", "tried": 3, "survived": survived, "lost or torn": 3 - survived}]
    )
    for name in faults.PARTS:
        monkeypatch.setitem(sys.modules, name, part)
    monkeypatch.setattr(sys, "argv", ["faults.py", "--smoke", "--only", "torn"])
    assert faults.main() == status
    assert f"| killed | 3 | {survived} | {3 - survived} |" in capsys.readouterr().out
