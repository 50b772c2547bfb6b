"""One process and two: do they train the same model, how long do they take, and does a run go on after a kill?

Each has one thread, and as many rows in a step: 16 of one process, 8 of each of two. There is no dropout, which every
process draws for itself, and float32, so that what is left between the losses is rounding. Times are of ``fit`` and
``evaluate``, without imports. Two processes need two cores of their own, or their times mean nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from harness import options, output_folder, report_tables

ROWS_PER_STEP = 16
CONFIG = """
compute_environment: LOCAL_MACHINE
distributed_type: FSDP
num_machines: 1
num_processes: 2
machine_rank: 0
mixed_precision: "no"
fsdp_config:
  fsdp_version: 2
  fsdp_auto_wrap_policy: TRANSFORMER_BASED_WRAP
  fsdp_state_dict_type: FULL_STATE_DICT
  fsdp_reshard_after_forward: true
  fsdp_cpu_ram_efficient_loading: false
"""
NAMES = {"one": "one process", "ddp": "two, DDP", "fsdp": "two, FSDP 2"}


def base_without_dropout(folder: Path) -> Path:
    """Lay the embedded base model beside a config without dropout."""
    from sentlora.model.backbone import resolve_base

    source, base = Path(resolve_base("minilm")), folder / "base"
    base.mkdir()
    for path in source.iterdir():
        if path.is_file() and path.name != "config.json":
            (base / path.name).symlink_to(path)
    config = json.loads((source / "config.json").read_text(encoding="utf-8"))
    config |= {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    (base / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return base


def work(folder: Path, n_train: int, epochs: int, *, resume: bool) -> None:
    """Do what a user's script does, in each process, and write down what came of it."""
    from sentlora import SentimentLoRA, load_recipe, processes
    from sentlora.settings import Settings
    from sentlora.training.arguments import training_arguments

    (folder / f"pid.{processes.rank()}").write_text(str(os.getpid()), encoding="utf-8")
    processes.join()
    batch = ROWS_PER_STEP // processes.count()
    settings = Settings(epochs=epochs, batch_size=batch, learning_rate=5e-4)
    args = training_arguments(settings, folder / "checkpoints", verbose=False)
    args.logging_strategy, args.logging_steps = "steps", 1
    rows = load_recipe("rotten_tomatoes", n_train=n_train + 200, n_test=400, verbose=False)
    train, validation = rows["train"].select(range(n_train)), rows["train"].select(range(n_train, n_train + 200))
    clf = SentimentLoRA(str(folder.parent / "base"), args=args, dropout=0.0, max_length=64, verbose=False)
    started = time.perf_counter()
    clf.fit(train, validation=validation, resume=resume)
    fitted = time.perf_counter()
    report = clf.evaluate(rows["test"])
    found = {
        "fit": fitted - started,
        "evaluate": time.perf_counter() - fitted,
        "history": clf.history_,
        "logits": clf.logits(rows["test"]["text"][:50]).tolist(),
        "accuracy": report.accuracy,
    }
    newest = max((folder / "checkpoints").glob("checkpoint-*"), key=lambda path: int(path.name.rpartition("-")[2]))
    state = json.loads((newest / "trainer_state.json").read_text(encoding="utf-8"))
    found["losses"] = [row["loss"] for row in state["log_history"] if "loss" in row]
    (folder / f"found.{processes.rank()}.json").write_text(json.dumps(found), encoding="utf-8")


def command(way: str, folder: Path, args: argparse.Namespace, *, resume: bool = False) -> list[str]:
    """Return how the script is started, alone or in two processes."""
    script = [str(Path(__file__).resolve()), "--worker", str(folder), "--n-train", str(args.n_train)]
    script += ["--epochs", str(args.epochs), *(["--resume"] if resume else [])]
    if way == "one":
        return [sys.executable, *script]
    if way == "ddp":
        return [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", *script]
    config = folder / "fsdp.yaml"
    config.write_text(CONFIG, encoding="utf-8")
    return [sys.executable, "-m", "accelerate.commands.launch", "--config_file", str(config), *script]


def start(way: str, folder: Path, args: argparse.Namespace, *, resume: bool = False) -> subprocess.Popen[str]:
    """Start a run, with one thread for each process."""
    folder.mkdir(exist_ok=True)
    env = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    return subprocess.Popen(command(way, folder, args, resume=resume), env=env, stderr=subprocess.PIPE, text=True)


def finish(run: subprocess.Popen[str]) -> str:
    """Wait for a run; if it is not waited for to its end, let it end what it started."""
    try:
        return run.communicate(timeout=3600)[1]
    finally:
        run.terminate()


def measured(way: str, folder: Path, args: argparse.Namespace, *, resume: bool = False) -> dict[str, Any]:
    """Run one way and return what its processes found; they must have found the same."""
    run = start(way, folder, args, resume=resume)
    said = finish(run)
    if run.returncode:
        raise SystemExit(f"{NAMES[way]} failed:\n{said}")
    found = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("found.*.json"))]
    if any(other["logits"] != found[0]["logits"] for other in found):
        raise SystemExit(f"{NAMES[way]}: the processes ended with different models")
    return found[0]


def killed_and_resumed(way: str, folder: Path, args: argparse.Namespace) -> tuple[dict[str, Any], float]:
    """Kill the second process after the first epoch is kept, wait for the end of the job, and go on."""
    run = start(way, folder, args)
    record = "checkpoints/checkpoint-*/sentlora_checkpoint.json"
    while not any(json.loads(path.read_text(encoding="utf-8"))["whole"] for path in folder.glob(record)):
        if run.poll() is not None:
            raise SystemExit(f"{NAMES[way]} ended before it was killed:\n{finish(run)}")
        time.sleep(0.1)
    os.kill(int((folder / "pid.1").read_text(encoding="utf-8")), signal.SIGKILL)
    killed = time.perf_counter()
    said = finish(run)
    ended = time.perf_counter() - killed
    if run.returncode == 0 or "SIGKILL" not in said:
        raise SystemExit(f"{NAMES[way]} did not notice that a process was killed:\n{said}")
    return measured(way, folder, args, resume=True), ended


def furthest(mine: Any, others: Any) -> float:
    """Return the largest difference between two lists of numbers, however nested."""
    if isinstance(mine, list):
        if len(mine) != len(others):
            raise SystemExit(f"{len(mine)} figures beside {len(others)}")
        return max(furthest(a, b) for a, b in zip(mine, others, strict=True))
    return abs(mine - others)


def main() -> None:
    """Measure, compare, and print the tables."""
    parser = options(__doc__, rounds=3)
    parser.add_argument("--n-train", type=int, help="training rows (1003)")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--worker", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--resume", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    # No multiple of the rows in a step: the last batch is short.
    args.n_train = args.n_train or (35 if args.smoke else 1003)
    if args.worker is not None:
        work(args.worker, args.n_train, args.epochs, resume=args.resume)
        return
    if args.smoke:
        args.rounds = 1
    names = {way: name for way, name in NAMES.items() if way != "fsdp" or not args.smoke}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        base_without_dropout(folder)
        rounds: list[dict[str, dict[str, Any]]] = []
        for number in range(args.rounds):
            rounds.append({way: measured(way, folder / f"{way}-{number}", args) for way in names})
            print(f"round {number + 1} of {args.rounds}", file=sys.stderr)
        one = rounds[0]["one"]
        times = [["", "fit, s", "evaluate, s"]]
        for way, name in names.items():
            seconds = [sorted(found[way][step] for found in rounds)[args.rounds // 2] for step in ("fit", "evaluate")]
            times.append([name, *(f"{figure:.1f}" for figure in seconds)])
        apart = [["largest difference to one process", "loss of a step", "validation loss", "logit", "accuracy"]]
        gone_on = [["after a kill", "job ended after, s", "logit, to the run that was not killed"]]
        for way in list(names)[1:]:
            found = rounds[0][way]
            validation = [[row["validation_loss"] for row in run["history"]] for run in (found, one)]
            figures = [furthest(found[name], one[name]) for name in ("losses", "logits")]
            apart.append([NAMES[way], *(f"{x:.1e}" for x in (figures[0], furthest(*validation), figures[1]))])
            apart[-1].append(f"{abs(found['accuracy'] - one['accuracy']):.4f}")
            resumed, ended = killed_and_resumed(way, folder / f"{way}-killed", args)
            gone_on.append([NAMES[way], f"{ended:.1f}", f"{furthest(resumed['logits'], found['logits']):.1e}"])
    tables = {"The same curve": apart, "Time, the median of the rounds": times, "Killed and resumed": gone_on}
    facts = {"rows": args.n_train, "epochs": args.epochs, "steps": len(one["losses"]), "rounds": args.rounds}
    report_tables("two_processes", tables, output_folder(args), **facts)


if __name__ == "__main__":
    main()
