"""Broken files, prompts and label maps against every reader: nothing may come out but an answer or our own error.

    python benchmarks/fuzz.py                    # a minute for each of thirteen readers
    python benchmarks/fuzz.py csv labels --seconds 300
    python benchmarks/fuzz.py --plain            # random changes, also where atheris is installed

With atheris (`pip install atheris`; Linux, CPython 3.11 to 3.13) the changes follow the branches of the code that they
reach; without it they are random, from a fixed seed. What an input did is judged in `fuzz_targets.py`. An input that
raised anything else than an error of the library, that took more than ten seconds of the CPU, or for which two ways to
read it disagree, is kept as a file in results/fuzz/ and printed, once for each place in the code.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

os.environ["HF_HUB_OFFLINE"] = "1"  # a mutated folder may name a base model on the Hub

from harness import RESULTS, options, output_folder, report_tables

if TYPE_CHECKING:
    from fuzz_targets import Target

warnings.simplefilter("ignore")  # what upstream says of broken files fills the screen

SECONDS = 60.0
SLOW = 10.0
_SMOKE_SECONDS = 0.25
_SEED = 0
# What atheris watches the branches of: instrumenting all takes longer than a short run.
_FOLLOWED = (
    "sentlora.config",
    "sentlora.data",
    "sentlora.inference.tables",
    "sentlora.labels",
    "sentlora.ratings",
    "sentlora.settings",
    "sentlora.sharing",
    "sentlora.strict_json",
)


@dataclass
class Tally:
    """What came of the inputs of one target.

    Attributes:
        keep: The folder of the inputs that are findings; None keeps none.
        tried: Inputs.
        survived: Those that led to an answer or to an error of the library.
        torn: Those that led to two answers that differ.
        findings: What was found, by its place in the code: the words, and the name of the file.
    """

    keep: Path | None
    tried: int = 0
    survived: int = 0
    torn: int = 0
    findings: dict[str, str] = field(default_factory=dict)

    def attempt(self, target: Target, content: bytes) -> None:
        """Try one input."""
        from fuzz_targets import Torn
        from sentlora.errors import SentloraError

        self.tried += 1
        begun = time.process_time()  # not the clock: other programs may be busy
        with tempfile.TemporaryDirectory() as folder:
            try:
                target.attempt(content, Path(folder))
            except KeyboardInterrupt:
                raise
            except SentloraError:
                pass
            except Torn as error:
                self.torn += 1
                self._found(target, content, "torn", str(error))
                return
            except BaseException as error:  # a panic in Rust is no Exception
                self._found(target, content, _place_of(error), f"{type(error).__name__}: {error}")
                return
        if (took := time.process_time() - begun) > SLOW:
            self._found(target, content, "slow", f"took {took:.0f} s of the CPU")
            return
        self.survived += 1

    def _found(self, target: Target, content: bytes, where: str, words: str) -> None:
        # Of what is torn there may be many kinds, and their words begin alike.
        key = f"{where} {words[:60]}" if where == "torn" else where
        if key in self.findings or len(self.findings) >= 50:
            return
        name = f"{target.name}-{hashlib.sha256(content).hexdigest()[:12]}"
        if self.keep is not None:
            self.keep.mkdir(parents=True, exist_ok=True)
            (self.keep / name).write_bytes(content)
        self.findings[key] = f"{target.name}: {where}: {words[:300]} ({name})"
        print(f"FOUND {self.findings[key]}", file=sys.stderr)


def _place_of(error: BaseException) -> str:
    """Return the last line of ours that an exception came through."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "sentlora" in frame.filename]
    last = (frames or traceback.extract_tb(error.__traceback__))[-1]
    return f"{type(error).__name__} at {Path(last.filename).name}:{last.lineno}"


def mutations(seeds: list[bytes], words: tuple[bytes, ...], seed: int) -> Iterator[bytes]:
    """Yield the seeds, then random changes of them without end."""
    yield from seeds
    dice = random.Random(seed)
    while True:
        content = bytearray(dice.choice(seeds))
        for _ in range(dice.choice((1, 1, 2, 4, 8))):
            at = dice.randrange(len(content) + 1)
            until = min(len(content), at + dice.choice((1, 1, 4, 32)))
            kind = dice.randrange(6)
            if kind == 0 and at < len(content):
                content[at] ^= 1 << dice.randrange(8)
            elif kind == 1:
                del content[at:until]
            elif kind == 2:
                content[at:at] = content[at:until]
            elif kind == 3:
                content[at:at] = dice.choice(words)
            elif kind == 4:
                content[at:until] = dice.choice(words)
            else:
                other = dice.choice(seeds)
                content[at:] = other[dice.randrange(len(other) + 1) :]
        yield bytes(content)


def run_plain(target: Target, seconds: float, keep: Path | None) -> Tally:
    """Try random inputs for some seconds."""
    tally, end = Tally(keep), time.monotonic() + seconds
    for content in mutations(target.seeds(), target.words, _SEED):
        tally.attempt(target, content)
        if time.monotonic() > end:
            break
    return tally


def run_atheris(name: str, seconds: float, place: str, keep: Path) -> Tally:
    """Try inputs in a process of its own, as the fuzzer ends the one that it runs in."""
    keep.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, __file__, "--child", name, "--seconds", str(seconds), "--place", place]
    ran = subprocess.run([*command, "--keep", str(keep)], stdout=subprocess.PIPE, text=True, check=False)
    tally = Tally(keep)
    if ran.returncode:
        tally.findings["ended"] = f"{name}: the process ended with {ran.returncode}; its last input is in {keep}"
        return tally
    found: dict[str, Any] = json.loads(ran.stdout.splitlines()[-1])
    return Tally(keep, **found)


def child(name: str, seconds: float, place: str, keep: Path) -> None:
    """Let atheris choose the inputs of one target; prints the tally and ends the process."""
    import atheris

    with atheris.instrument_imports(include=list(_FOLLOWED)):
        target = target_named(name, place)
    tally = Tally(keep)
    corpus = Path(tempfile.mkdtemp(dir=place))
    for number, seed in enumerate(target.seeds()):
        (corpus / str(number)).write_bytes(seed)
    words = corpus.with_suffix(".words")
    words.write_text("".join('"' + "".join(f"\\x{byte:02x}" for byte in word) + '"\n' for word in target.words))
    end = time.monotonic() + seconds

    def one_input(content: bytes) -> None:
        tally.attempt(target, content)
        if time.monotonic() > end:
            figures = {key: value for key, value in vars(tally).items() if key != "keep"}
            print("\n" + json.dumps(figures), flush=True)
            os._exit(0)  # the fuzzer would write a report of its own

    flags = [f"-dict={words}", "-timeout=60", f"-artifact_prefix={keep}/{name}-", "-verbosity=0", f"-seed={_SEED + 1}"]
    atheris.Setup([sys.argv[0], *flags, "-rss_limit_mb=4096", "-max_len=20000", str(corpus)], one_input)
    atheris.Fuzz()


def target_named(name: str, place: str) -> Target:
    """Return one target."""
    from fuzz_targets import targets

    return next(target for target in targets(place) if target.name == name)


def run_all(names: list[str], seconds: float, *, plain: bool, keep: Path | None) -> dict[str, tuple[Target, Tally]]:
    """Run the targets of these names, or all."""
    from fuzz_targets import targets

    done: dict[str, tuple[Target, Tally]] = {}
    with tempfile.TemporaryDirectory() as place:
        every = targets(place)
        if unknown := sorted(set(names) - {target.name for target in every}):
            sys.exit(f"There is no reader {unknown[0]!r}; they are: {', '.join(target.name for target in every)}.")
        for target in every:
            if names and target.name not in names:
                continue
            if plain or keep is None:
                tally = run_plain(target, seconds, keep)
            else:
                with tempfile.TemporaryDirectory() as own:  # of its own: nothing is shared with another run
                    tally = run_atheris(target.name, seconds, own, keep)
            print(f"{target.name}: {tally.tried:,} tried, {len(tally.findings)} found", file=sys.stderr)
            done[target.name] = (target, tally)
    return done


def rows(smoke: bool) -> list[dict[str, str | int]]:
    """Return a row for each reader, as a table of faults has them: what was done, how often, and what came of it."""
    seconds, plain = (_SMOKE_SECONDS, True) if smoke else (SECONDS, find_spec("atheris") is None)
    done = run_all([], seconds, plain=plain, keep=None if smoke else RESULTS / "fuzz")
    return [row_of(target, tally) for target, tally in done.values()]


def row_of(target: Target, tally: Tally) -> dict[str, str | int]:
    """Lay out what came of one target."""
    return {"fault": target.fault, "tried": tally.tried, "survived": tally.survived, "lost or torn": tally.torn}


def main() -> None:
    """Read the options and run."""
    parser = options(__doc__, rounds=None)
    parser.add_argument("names", nargs="*", metavar="READER", help="which readers (all)")
    parser.add_argument("--seconds", type=float, default=SECONDS, help=f"for each reader ({SECONDS:g})")
    parser.add_argument("--plain", action="store_true", help="random changes, also where atheris is installed")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--place", help=argparse.SUPPRESS)
    parser.add_argument("--keep", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child is not None:
        child(args.child, args.seconds, args.place, args.keep)
        return
    plain = args.plain or args.smoke or find_spec("atheris") is None
    seconds = _SMOKE_SECONDS if args.smoke else args.seconds
    folder = output_folder(args)
    keep = None if args.smoke and folder is None else (folder or RESULTS) / "fuzz"
    done = run_all(args.names, seconds, plain=plain, keep=keep)
    table = [[*row_of(*pair), "findings"] for pair in list(done.values())[:1]]
    table += [[*map(str, row_of(*pair).values()), str(len(pair[1].findings))] for pair in done.values()]
    way = "random changes" if plain else "changes that follow the code, by atheris"
    title = f"{seconds:g} s for each reader, {way}"
    found = [words for _, tally in done.values() for words in tally.findings.values()]
    report_tables("fuzz", {title: table}, folder, findings=found)
    print("\n".join(found) or "Nothing was found.")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
