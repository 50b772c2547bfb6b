"""A process that uses the Hub as a user would, and says what came of it: jobs as JSON in, outcomes as JSON out.

huggingface_hub reads HF_ENDPOINT, HF_HOME and HF_HUB_OFFLINE when it is imported, so each test of it needs a process
whose environment is set before. Waiting for a retry is cut short, and what would have been waited is written down.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

PROBES = ["a good film", "a bad film", "great fun and awful music"]


def run_jobs(
    jobs: Sequence[Mapping[str, Any]], home: Path, endpoint: str, *, offline: bool = False, **environment: str
) -> tuple[list[dict[str, Any]], str]:
    """Run jobs one after the other in one fresh process.

    Args:
        jobs: Each a mapping with ``do`` and the arguments of that function below.
        home: The process's home and cache.
        endpoint: The Hub's address.
        offline: Forbid the network.
        environment: More environment variables.

    Returns:
        The outcome of each job, and all else that the process wrote to either stream.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGING"))}
    ours = {
        "HF_ENDPOINT": endpoint,
        "HF_HOME": str(home),
        "HF_HUB_DISABLE_XET": "1",
        "HOME": str(home),
        "NO_PROXY": "127.0.0.1",
        "OMP_NUM_THREADS": "1",
        **({"HF_HUB_OFFLINE": "1"} if offline else {}),
    }
    done = subprocess.run(
        [sys.executable, __file__],
        input=json.dumps(jobs),
        env={**kept, **ours, **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    *told, outcomes = done.stdout.splitlines()
    return json.loads(outcomes), "\n".join(told) + done.stderr


def push(folder: str, repo: str, token: str | None = None, **given: Any) -> dict[str, Any]:
    from sentlora.sharing.pushing import Target, push_folder

    where = {name: given.pop(name) for name in ("private", "message", "branch") if name in given}
    pushed = push_folder(folder, Target(repo, **where), token=token, **given)
    return {"repo_id": pushed.repo_id, "commit": pushed.commit, "url": str(pushed)}


def load_push(folder: str, repo: str, token: str, **given: Any) -> dict[str, Any]:
    """The same by the classifier itself."""
    from sentlora import SentimentLoRA

    clf = SentimentLoRA.load(folder, verbose=False)
    pushed = clf.push_to_hub(repo, token=token, **given)
    return {"commit": pushed.commit, "repr": repr(clf), "params": repr(clf.get_params()), "state": repr(vars(clf))}


def load(place: str, **given: Any) -> dict[str, Any]:
    from sentlora import SentimentLoRA

    clf = SentimentLoRA.load(place, **given)
    return {"logits": clf.logits(PROBES).tolist(), "base": clf.base_model, "state": repr(vars(clf))}


def peft(repo: str, num_labels: int) -> dict[str, Any]:
    """As the card says, without sentlora."""
    import torch
    from peft import AutoPeftModelForSequenceClassification
    from transformers import AutoTokenizer

    model = AutoPeftModelForSequenceClassification.from_pretrained(repo, num_labels=num_labels).eval()
    tokenizer = AutoTokenizer.from_pretrained(repo)
    inputs = tokenizer(PROBES, truncation=True, max_length=32, padding=True, return_tensors="pt")
    with torch.inference_mode():
        logits = model(**inputs).logits
    return {"logits": logits.tolist(), "sentlora": any(name.startswith("sentlora") for name in sys.modules)}


def command(*arguments: str) -> dict[str, Any]:
    """The command line."""
    from typer.testing import CliRunner

    from sentlora import cli

    result = CliRunner().invoke(cli.app, list(arguments))
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return {"code": result.exit_code, "out": result.stdout}


def _main() -> None:
    really_sleep, waited = time.sleep, []
    time.sleep = lambda seconds: (waited.append(seconds), really_sleep(min(seconds, 0.01)))[-1]  # type: ignore[assignment]
    outcomes = []
    for job in json.loads(sys.stdin.read()):
        do, positional = globals()[job.pop("do")], job.pop("arguments", ())
        waited.clear()
        try:
            outcome = {"value": do(*positional, **job)}
        except Exception as error:
            shown = "".join(traceback.format_exception(error))
            outcome = {"error": type(error).__name__, "message": str(error), "shown": shown}
            outcome["passing"] = getattr(error, "passing", None)
        outcomes.append({**outcome, "waited": [seconds for seconds in waited if seconds >= 0.5]})
    print("\n" + json.dumps(outcomes))


if __name__ == "__main__":
    _main()
