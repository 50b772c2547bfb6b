"""Trainings that are killed, stopped, starved of disk and given damaged checkpoints, and then gone on with.

    python benchmarks/faults.py --only kills

Each of them has to end with the adapter file and the table of epochs, byte for byte, of a run that nothing happened
to. Every attempt is a fork of this process, which has imported everything and trained nothing.
"""

from __future__ import annotations

import collections
import json
import os
import resource
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

import numpy as np
import peft.peft_model
import torch
from transformers import TrainerCallback, TrainingArguments

import sentlora.sentiment_lora as facade
from forks import ended, fork
from sentlora.errors import CheckpointError
from sentlora.training.arguments import has_checkpoint
from sentlora.training.checkpoints import checkpoints_in, fault_of
from tiny import reviews, save_tiny_bert

Row = dict[str, str | int]
IN_A_STEP, IN_EVALUATION, IN_WRITING = MOMENTS = ("in a step", "in an evaluation", "while a checkpoint is written")
_CHANGES = ("os.mkdir", "os.rename", "os.remove", "os.rmdir", "shutil.rmtree")


@dataclass(frozen=True)
class Case:
    """A training.

    Attributes:
        name: What it is called.
        settings: Of the classifier.
        by_steps: Save every second step, by TrainingArguments of the user's own; else at the end of each epoch.
    """

    name: str
    settings: Mapping[str, Any]
    by_steps: bool = False

    def classifier(self, base: str, folder: Path) -> facade.SentimentLoRA:
        """Return the untrained classifier whose checkpoints go to a folder."""
        common = {"max_length": 32, "dropout": 0.2, "targets": "all-linear", "verbose": False, "allow_leaks": True}
        if not self.by_steps:
            return facade.SentimentLoRA(base, **common, **self.settings, output_dir=folder)
        steps: dict[str, Any] = {"eval_strategy": "steps", "save_strategy": "steps", "eval_steps": 2, "save_steps": 2}
        args = TrainingArguments(
            str(folder),
            **steps,
            num_train_epochs=3,
            learning_rate=3e-3,
            per_device_train_batch_size=4,
            gradient_accumulation_steps=2,
            train_sampling_strategy="group_by_length",
            load_best_model_at_end=True,
            metric_for_best_model="f1_macro",
            save_total_limit=2,
            remove_unused_columns=False,
            label_names=["labels"],
            disable_tqdm=True,
            use_cpu=True,
        )
        return facade.SentimentLoRA(base, **common, **self.settings, args=args)


CASES = (
    Case("epochs", {"epochs": 6, "batch_size": 8, "learning_rate": 3e-3, "early_stopping": 2}),
    Case("steps", {}, by_steps=True),
    Case(
        "cached",
        {"epochs": 2.5, "batch_size": 8, "learning_rate": 3e-3, "keep": "last", "batching": "micro"}
        | {"layers": "last-1", "cache_prefix": True},
    ),
)


@dataclass
class Clock(TrainerCallback):
    """Counts what happens in a training, and sends a signal to its own process when the time has come.

    Attributes:
        moment: Which count decides.
        at: The count at which the signal is sent; 0 sends none.
        sent: The signal.
        counts: What has happened so far.
    """

    moment: str = IN_A_STEP
    at: int = 0
    sent: signal.Signals = signal.SIGKILL
    counts: collections.Counter[str] = field(default_factory=collections.Counter)

    def tick(self, moment: str, before: Callable[[], None] = lambda: None) -> None:
        """Count one event; ``before`` is called first if it is the one at which the process is killed."""
        self.counts[moment] += 1
        if moment == self.moment and self.counts[moment] == self.at:
            if self.sent == signal.SIGKILL:
                before()
            os.kill(os.getpid(), self.sent)

    def on_step_begin(self, *args: Any, **kwargs: Any) -> None:
        """Count."""
        self.tick(IN_A_STEP)

    on_substep_end = on_pre_optimizer_step = on_optimizer_step = on_step_end = on_step_begin

    def on_prediction_step(self, *args: Any, **kwargs: Any) -> None:
        """Count."""
        self.tick(IN_EVALUATION)

    on_evaluate = on_prediction_step


def watch(folder: Path, clock: Clock) -> None:
    """Count what is written below a folder, for the rest of this process; a file may be left half written."""

    def hook(event: str, args: tuple[Any, ...]) -> None:
        opened = event == "open" and isinstance(args[2], int) and args[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        if opened or event in _CHANGES:
            relative = event in ("os.remove", "os.rmdir") and args[-1] != -1  # inside of a folder that is removed
            if relative or str(args[0]).startswith(str(folder)):
                clock.tick(IN_WRITING)

    def tearing(write: Callable[..., Any]) -> Callable[..., Any]:
        def torn(content: Any, place: Any, *args: Any, **kwargs: Any) -> Any:
            written = write(content, place, *args, **kwargs)
            if str(place).startswith(str(folder)):
                clock.tick(IN_WRITING, lambda: os.truncate(place, Path(place).stat().st_size // 2))
            return written

        return torn

    # These two write without Python, so the hook does not see it.
    torch.save = tearing(torch.save)
    peft.peft_model.safe_save_file = tearing(peft.peft_model.safe_save_file)
    sys.addaudithook(hook)


def forked(work: Callable[[], None]) -> int:
    """Do something in a copy of this process, and return how it ended."""
    return ended(fork(work, seconds=0))


class Bench:
    """Trainings in a temporary folder, and what each of them ends with where nothing happens to it."""

    def __init__(self, place: Path) -> None:
        """Save the base model, and draw the rows."""
        self.place = place
        self.base = str(place / "base")
        save_tiny_bert(place / "base")
        self.rows, self.validation = reviews(36, seed=0), reviews(16, seed=1)
        self.expected: dict[str, tuple[bytes, str]] = {}
        self.counts: dict[str, dict[str, int]] = {}
        self._cut: dict[str, Path] = {}
        self._made = 0

    def new_folder(self) -> Path:
        """Return a place for a run that is not there yet."""
        self._made += 1
        return self.place / f"run-{self._made}"

    def train(self, case: Case, folder: Path, clock: Clock | None = None) -> None:
        """Train, or go on where there is a checkpoint, and write down what came of it; in a process of its own."""
        clock = clock or Clock()
        facade.build_and_train = partial(facade.build_and_train, callbacks=[clock])
        watch(folder, clock)
        clf = case.classifier(self.base, folder)
        clf.fit(*self.rows, validation=self.validation, resume=has_checkpoint(folder))
        clf.save(folder.with_suffix(".adapter"))
        found = {"history": clf.history_, "validation": clf.validation_}
        folder.with_suffix(".json").write_text(json.dumps(found), encoding="utf-8")
        folder.with_suffix(".counts").write_text(json.dumps(clock.counts), encoding="utf-8")

    def ended(self, folder: Path) -> tuple[bytes, str]:
        """Return the bytes of the adapter of a run that has ended, and its table of epochs."""
        adapter = folder.with_suffix(".adapter") / "adapter_model.safetensors"
        return adapter.read_bytes(), folder.with_suffix(".json").read_text(encoding="utf-8")

    def refer_to(self, case: Case) -> None:
        """Train once without anything happening."""
        if case.name in self.expected:
            return
        folder = self.new_folder()
        if forked(lambda: self.train(case, folder)) != 0:
            raise SystemExit(f"the training {case.name!r} fails by itself")
        self.expected[case.name] = self.ended(folder)
        self.counts[case.name] = json.loads(folder.with_suffix(".counts").read_text(encoding="utf-8"))

    def ends_alike(self, case: Case, folder: Path) -> bool:
        """Go on with a run to its end, and tell whether it is the end of the run that nothing happened to."""
        return forked(lambda: self.train(case, folder)) == 0 and self.ended(folder) == self.expected[case.name]

    def cut_off(self, case: Case) -> Path:
        """Return a copy of a run that was killed near its end, with two checkpoints that are whole."""
        if case.name not in self._cut:
            clock = Clock(IN_A_STEP, self.counts[case.name][IN_A_STEP] - 1)
            self._cut[case.name] = self.new_folder()
            forked(lambda: self.train(case, self._cut[case.name], clock))
        folder = self.new_folder()
        shutil.copytree(self._cut[case.name], folder)
        return folder


def row(fault: str, tried: int, survived: int) -> Row:
    """Return one row of the table."""
    return {"fault": fault, "tried": tried, "survived": survived, "lost or torn": tried - survived}


def kills(bench: Bench, cases: Sequence[Case], wanted: int, *, per_run: int = 8, seed: int = 0) -> list[Row]:
    """Kill runs at random moments, each several times, until ``wanted`` processes were killed."""
    rng = np.random.default_rng(seed)
    tried: collections.Counter[str] = collections.Counter()
    survived: collections.Counter[str] = collections.Counter()
    runs = 0
    while tried.total() < wanted:
        case = cases[runs % len(cases)]
        bench.refer_to(case)
        folder, killed = bench.new_folder(), collections.Counter[str]()
        runs += 1
        for number in range(min(per_run, wanted - tried.total())):
            moment = MOMENTS[(number + runs) % 3]
            # Early in what is left, so that a run is killed often before it ends.
            clock = Clock(moment, int(rng.integers(1, 2 + bench.counts[case.name][moment] // 3)))
            status = forked(partial(bench.train, case, folder, clock))
            if status != -signal.SIGKILL:
                break
            killed[moment] += 1
        tried += killed
        if bench.ends_alike(case, folder):
            survived += killed
    return [row(f"training: killed {moment}", tried[moment], survived[moment]) for moment in MOMENTS if tried[moment]]


def damages(bench: Bench, case: Case, most: int | None = None) -> list[Row]:
    """Cut short, change and remove each file of the newest checkpoint, and go on from the one before."""
    bench.refer_to(case)
    names = sorted(path.name for path in checkpoints_in(bench.cut_off(case))[-1].iterdir())
    todo = [(name, way) for way in (_cut_short, _change, Path.unlink) for name in names][:: 1 if most is None else 3]
    alike = 0
    for name, harm in todo[:most]:
        folder = bench.cut_off(case)
        harm(checkpoints_in(folder)[-1] / name)
        alike += bench.ends_alike(case, folder)
    return [row("training: newest checkpoint damaged", len(todo[:most]), alike)]


def _cut_short(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def _change(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def full_disks(bench: Bench, case: Case, tries: int, *, seed: int = 0) -> list[Row]:
    """Let the disk take no more bytes in a file than a random number, and go on when it does again."""
    bench.refer_to(case)
    rng = np.random.default_rng(seed)
    survived = 0
    for _ in range(tries):
        folder, most = bench.cut_off(case), int(10 ** rng.uniform(1.5, 4))
        before = checkpoints_in(folder)
        refused = forked(partial(_starve, bench, case, folder, most)) == 0
        whole = [path for path in before if fault_of(path) is None]
        survived += refused and whole == before and bench.ends_alike(case, folder)
    return [row("training: no room for a checkpoint", tries, survived)]


def _starve(bench: Bench, case: Case, folder: Path, most: int) -> None:
    newest = checkpoints_in(folder)[-1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
    try:
        bench.train(case, folder)
    except CheckpointError as error:
        assert f"{newest.name} is whole" in str(error), error
    else:
        raise AssertionError("nothing was refused")


def stops(bench: Bench, cases: Sequence[Case], tries: int, *, seed: int = 0) -> list[Row]:
    """Press Ctrl-C at random moments, and go on."""
    rng = np.random.default_rng(seed)
    survived = 0
    for number in range(tries):
        case, moment = cases[number % len(cases)], MOMENTS[number % 3]
        bench.refer_to(case)
        folder = bench.new_folder()
        clock = Clock(moment, int(rng.integers(1, 1 + bench.counts[case.name][moment])), signal.SIGINT)
        stopped = forked(partial(_stop, bench, case, folder, clock)) == 0
        whole = all(fault_of(path) is None for path in checkpoints_in(folder))
        survived += stopped and whole and bench.ends_alike(case, folder)
    return [row("training: stopped by Ctrl-C", tries, survived)]


def _stop(bench: Bench, case: Case, folder: Path, clock: Clock) -> None:
    try:
        bench.train(case, folder, clock)
    except KeyboardInterrupt as stopped:
        # Before the first step there is nothing to go on from, and no word of it.
        assert "go on with resume=True" in str(stopped) or not checkpoints_in(folder), stopped
    else:
        raise AssertionError("it was not stopped")


def rows(smoke: bool) -> list[Row]:
    """Do everything; some of it in a smoke run."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(prefix="sentlora-kills-") as place:
        bench, case = Bench(Path(place)), CASES[0]
        if smoke:
            return [*kills(bench, [case], 2), *damages(bench, case, 1), *full_disks(bench, case, 1)]
        done = [*kills(bench, CASES, 60), *stops(bench, CASES, 12)]
        return [*done, *damages(bench, case), *full_disks(bench, case, 6)]
