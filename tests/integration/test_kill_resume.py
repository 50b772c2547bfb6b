"""Training in the hard world: processes that are killed, Ctrl-C, damaged checkpoints, a disk that takes no more.

Whatever happens, the run that is gone on with ends with the adapter file and the table of one that nothing happened to,
byte for byte. The processes are forks of one that has imported everything; `benchmarks/kills.py` does the harm, and
does it far more often when it is run by itself.
"""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from sentlora import cli
from sentlora.training.resuming import ResumableTrainer

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
DRIVER = """
import json, sys, tempfile
from pathlib import Path
import torch
import kills
torch.set_num_threads(1)
with tempfile.TemporaryDirectory() as place:
    bench = kills.Bench(Path(place))
    rows = kills.kills(bench, kills.CASES, 21, per_run=7)
    rows += kills.stops(bench, kills.CASES, 2)
    rows += kills.damages(bench, kills.CASES[0], 2)
    rows += kills.full_disks(bench, kills.CASES[0], 1)
Path(sys.argv[1]).write_text(json.dumps(rows))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a killed process is a fork of one that is warm")
def test_whatever_happens_to_a_run_it_ends_as_if_nothing_had(tmp_path: Path) -> None:
    found = tmp_path / "rows.json"
    driver = [sys.executable, "-c", DRIVER, str(found)]
    environment = {**os.environ, "PYTHONPATH": str(BENCHMARKS), "OMP_NUM_THREADS": "1"}
    ran = subprocess.run(driver, env=environment, capture_output=True, text=True, timeout=600)
    assert ran.returncode == 0, ran.stderr
    rows = json.loads(found.read_text())
    assert [row for row in rows if row["lost or torn"]] == [], ran.stderr
    tried = {row["fault"]: row["tried"] for row in rows}
    killed = [n for fault, n in tried.items() if "killed" in fault]
    assert (len(killed), sum(killed)) == (3, 21)
    assert min(killed) >= 4
    assert [n for fault, n in tried.items() if "killed" not in fault] == [2, 2, 1]


def test_ctrl_c_on_the_command_line_says_what_to_type(
    tiny_bert: str,
    toy_reviews: pd.DataFrame,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    toy_reviews[:40].to_csv(tmp_path / "my reviews.csv", index=False)
    original, steps = ResumableTrainer.training_step, []

    def interrupted(self: Any, *args: Any, **kwargs: Any) -> Any:
        steps.append(self.state.global_step)
        if len(steps) == 2:
            os.kill(os.getpid(), signal.SIGINT)
        return original(self, *args, **kwargs)

    def run(command: list[str]) -> tuple[Any, str]:
        monkeypatch.setattr(sys, "argv", command)
        status: Any = 0
        try:
            cli.main()
        except SystemExit as stop:
            status = stop.code
        return status, capsys.readouterr().err

    monkeypatch.setattr(ResumableTrainer, "training_step", interrupted)
    options = f"--epochs 1 --batch-size 8 --tokens-per-batch 9999 --max-length 32 --quiet --base {tiny_bert}".split()
    command = ["sentlora", "train", str(tmp_path / "my reviews.csv"), "-o", str(tmp_path / "adapter"), *options]
    status, said = run(command)
    assert status == 130
    assert said.splitlines() == [
        "Interrupted.",
        "Nothing of the run is kept. With --checkpoints FOLDER it could be stopped, and gone on with (--resume).",
    ]

    steps.clear()
    status, said = run([*command, "--checkpoints", str(tmp_path / "run")])
    first, second, typed = said.splitlines()
    assert status == 130
    assert first == (
        f"Stopped after step 2 of 5. checkpoint-2 in '{tmp_path}/run' holds all of it: go on with resume=True "
        "(--resume on the command line)."
    )
    assert second == "Go on:"
    assert not (tmp_path / "adapter").exists()

    steps[:] = [0, 0]
    assert run(shlex.split(typed)) == (0, "")
    assert steps == [0, 0, 2, 3, 4]
    assert (tmp_path / "adapter").is_dir()
