"""The screen under load: many clients at once, some requests malformed, against `sentlora app` on loopback.

    python benchmarks/app_load.py                            # 50 clients for two minutes
    python benchmarks/app_load.py --clients 10 --seconds 30

Every client does what a tab of a browser does: it loads the page, and then presses "Label it" again and again, with no
pause, over the queue that the page uses. One request in twenty is malformed: no JSON, too few or wrong values, a text
that is empty or too long, a function that is not there, a file that was never uploaded, or a caller who hangs up. Each
answer is compared with `predict_proba`. A client that finds the queue full is told so and tries again after half a
second; the time of a request is that from sending it to reading its answer, and does not count those tries.

The run fails where the server ended, answered wrongly or wrote a traceback, where a well-formed request got neither an
answer nor the word that the queue is full, where a malformed one was not refused, or where the memory of the server
grew by more than 100 MiB from the first fifth of the run to its end (in runs of a minute and more).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil

os.environ["HF_HUB_OFFLINE"] = "1"

from harness import options, output_folder, report_tables

MALFORMED = 0.05
TOLERANCE = 1e-5
GROWTH = 100.0
MAX_CHARS = 2000
_MIB = 2**20
_PAUSE = 0.5
_PATIENCE = 60.0
_JUDGED_FROM = 50


@dataclass
class Seen:
    """What the clients saw.

    Attributes:
        seconds: How long each answered request took.
        wrong: Answers that differ from `predict_proba`.
        full: How often the queue was full, by what was said.
        refused: Malformed requests that were refused, by kind.
        faults: All that should not be.
        memory: Resident memory of the server in MiB, second by second.
    """

    seconds: list[float] = field(default_factory=list)
    wrong: int = 0
    full: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    memory: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Server:
    """A running `sentlora app`."""

    url: str
    process: subprocess.Popen[bytes]
    function: int
    log: Path


# --- what is asked of it -------------------------------------------------------------------------------


def make_adapter(folder: Path, n_rows: int) -> tuple[Path, dict[str, float]]:
    """Save minilm with a head that was fitted to some sentences; return it with texts and their probabilities."""
    from sentlora import SentimentLoRA, load_recipe

    rows = load_recipe("rotten_tomatoes", n_train=n_rows, n_test=n_rows, verbose=False)
    clf = SentimentLoRA("minilm", epochs=0, max_length=64, verbose=False).fit(rows["train"])
    texts = [*rows["test"]["text"][:], "x", "🎬 " * 50, "<b>naïve</b> & co", "word " * 300]
    probabilities = clf.predict_proba(texts)[:, clf.labels_.positive_id]
    return clf.save(folder / "adapter"), dict(zip(texts, probabilities.tolist(), strict=True))


def start(adapter: Path, folder: Path) -> Server:
    """Start the command and wait until it answers."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = folder / "server.log"
    command = [sys.executable, "-m", "sentlora.cli", "app", str(adapter), "--port", str(port)]
    with log.open("wb") as stream:
        process = subprocess.Popen([*command, "--max-chars", str(MAX_CHARS)], stdout=stream, stderr=stream)
    url = f"http://127.0.0.1:{port}"
    for _ in range(240):
        if process.poll() is not None:
            break
        try:
            config = httpx.get(f"{url}/config", timeout=5).raise_for_status().json()
        except httpx.HTTPError:
            time.sleep(0.25)
            continue
        return Server(url, process, button_of(config), log)
    process.kill()
    sys.exit(f"The server did not start:\n{log.read_text(errors='replace')}")


def button_of(config: dict[str, Any]) -> int:
    """Find the function behind the button "Label it"."""
    (button,) = [one["id"] for one in config["components"] if one["props"].get("elem_id") == "sl-label-it"]
    (found,) = [one["id"] for one in config["dependencies"] if [button, "click"] in one["targets"]]
    return int(found)


# --- the clients ---------------------------------------------------------------------------------------


class Tab:
    """A tab of a browser."""

    def __init__(self, server: Server, expected: dict[str, float], seen: Seen, seed: int) -> None:
        """Open nothing yet."""
        self.server, self.expected, self.seen = server, expected, seen
        self.dice = random.Random(seed)
        self.session = f"tab{seed}"
        self.texts = list(expected)

    async def live(self, client: httpx.AsyncClient, until: float) -> None:
        """Load the page, and ask until the time is up."""
        await client.get("/")
        while time.monotonic() < until:
            await self.act(client)

    async def act(self, client: httpx.AsyncClient) -> None:
        """Send a request, and in one of twenty cases one that is malformed."""
        kind = self.dice.choice(list(_BAD)) if self.dice.random() < MALFORMED else None
        try:
            await (self.request(client) if kind is None else self.bad_request(client, kind))
        except httpx.HTTPError as error:
            self.seen.faults.append(f"{kind or 'a request'}: {type(error).__name__} {error}")
            await asyncio.sleep(_PAUSE)

    async def request(self, client: httpx.AsyncClient) -> None:
        """Ask for one label."""
        text = self.dice.choice(self.texts)
        begun = time.monotonic()
        joined = await self.join(client, [text, 0])
        if joined.status_code == httpx.codes.SERVICE_UNAVAILABLE:
            self.seen.full[joined.json()["detail"].split(" and ")[0]] += 1
            await asyncio.sleep(_PAUSE)
            return
        joined.raise_for_status()
        output = await self.answer(client)
        if not output.get("success"):
            self.seen.faults.append(f"no answer to {text[:40]!r}: {output}")
            return
        self.seen.seconds.append(time.monotonic() - begun)
        shares = {one["label"]: one["confidence"] for one in output["output"]["data"][1]["confidences"]}
        if not np.isclose(shares["positive"], self.expected[text], rtol=0, atol=TOLERANCE):
            self.seen.wrong += 1

    async def join(self, client: httpx.AsyncClient, data: list[Any], **more: Any) -> httpx.Response:
        """Stand in the queue."""
        body = {"data": data, "fn_index": self.server.function, "session_hash": self.session, **more}
        return await client.post("/gradio_api/queue/join", json=body)

    async def answer(self, client: httpx.AsyncClient) -> dict[str, Any]:
        """Read what comes until the call is done."""
        url = f"/gradio_api/queue/data?session_hash={self.session}"
        done: dict[str, Any] = {}
        async with client.stream("GET", url) as stream:
            async for line in stream.aiter_lines():
                message = json.loads(line[6:]) if line.startswith("data: ") else {}
                if message.get("msg") in ("process_completed", "unexpected_error"):
                    done = message
        return done

    async def bad_request(self, client: httpx.AsyncClient, kind: str) -> None:
        """Send one of the malformed requests, and see that it is refused."""
        refused = await _BAD[kind](self, client)
        if refused is None:  # the queue was full
            await asyncio.sleep(_PAUSE)
        elif refused:
            self.seen.refused[kind] += 1
        else:
            self.seen.faults.append(f"{kind} was not refused")

    async def told(self, client: httpx.AsyncClient, data: list[Any], words: str = "") -> bool | None:
        """Stand in the queue with values that no function takes, and read the refusal."""
        joined = await self.join(client, data)
        if joined.status_code == httpx.codes.SERVICE_UNAVAILABLE:
            return None
        if joined.is_client_error:
            return True
        output = await self.answer(client)
        return output.get("success") is False and words in str(output)


async def _no_json(tab: Tab, client: httpx.AsyncClient) -> bool | None:
    head = {"content-type": "application/json"}
    return (await client.post("/gradio_api/queue/join", content=b'{"data": [', headers=head)).is_client_error


async def _no_function(tab: Tab, client: httpx.AsyncClient) -> bool | None:
    answer = await tab.join(client, ["x", 0], fn_index=9999)
    return None if answer.status_code == httpx.codes.SERVICE_UNAVAILABLE else answer.is_client_error


async def _too_large(tab: Tab, client: httpx.AsyncClient) -> bool | None:
    answer = await client.post("/gradio_api/queue/join", content=b"x" * 9_000_000)
    return answer.status_code == httpx.codes.REQUEST_ENTITY_TOO_LARGE


async def _foreign_file(tab: Tab, client: httpx.AsyncClient) -> bool | None:
    return (await client.get("/gradio_api/file=/etc/passwd")).is_client_error


async def _hang_up(tab: Tab, client: httpx.AsyncClient) -> bool | None:
    # In a session of its own: what is left of it must not be the next answer of this tab.
    session = uuid.uuid4().hex
    joined = await tab.join(client, [tab.dice.choice(tab.texts), 0], session_hash=session)
    if joined.status_code == httpx.codes.SERVICE_UNAVAILABLE:
        return None
    async with client.stream("GET", f"/gradio_api/queue/data?session_hash={session}"):
        return True


_BAD: dict[str, Any] = {
    "no JSON": _no_json,
    "no such function": _no_function,
    "too large": _too_large,
    "a foreign file": _foreign_file,
    "a caller who hangs up": _hang_up,
    "no values": lambda tab, client: tab.told(client, []),
    "an empty text": lambda tab, client: tab.told(client, [" ", 0], "There is no text yet"),
    "a text that is too long": lambda tab, client: tab.told(client, ["x" * (MAX_CHARS + 1), 0], "The text has 2,001"),
    "no probability": lambda tab, client: tab.told(client, ["x", 7]),
    "a word for a number": lambda tab, client: tab.told(client, ["x", "often"]),
}


async def look(server: Server, seen: Seen, until: float) -> None:
    """Note the memory of the server, second by second."""
    process = psutil.Process(server.process.pid)
    while time.monotonic() < until:
        if server.process.poll() is not None:
            seen.faults.append(f"the server ended with {server.process.returncode}")
            return
        seen.memory.append(process.memory_info().rss / _MIB)
        await asyncio.sleep(1)


async def load(server: Server, expected: dict[str, float], clients: int, seconds: float) -> Seen:
    """Let all clients ask at once."""
    seen, until = Seen(), time.monotonic() + seconds
    # The server closes a connection that was idle for five seconds, and a request must not meet that moment.
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=clients, keepalive_expiry=3)
    async with httpx.AsyncClient(base_url=server.url, timeout=_PATIENCE, limits=limits) as client:
        tabs = [Tab(server, expected, seen, seed) for seed in range(clients)]
        await asyncio.gather(look(server, seen, until), *(tab.live(client, until) for tab in tabs))
        # The queue has to be empty again: a single caller is served at once.
        await tabs[0].request(client)
    return seen


# --- what came of it -----------------------------------------------------------------------------------


def summary(seen: Seen, seconds: float) -> dict[str, float]:
    """Return the figures of a run."""
    times = np.array(seen.seconds) if seen.seconds else np.array([np.nan])
    early = seen.memory[: max(1, len(seen.memory) // 5)]
    return {
        "answers": len(seen.seconds),
        "answers per second": len(seen.seconds) / seconds,
        "median, s": float(np.median(times)),
        "p99, s": float(np.quantile(times, 0.99)),
        "wrong answers": seen.wrong,
        "malformed, refused": sum(seen.refused.values()),
        "told that the queue is full": sum(seen.full.values()),
        "faults": len(seen.faults),
        "memory at first, MiB": seen.memory[0],
        "memory after a fifth, MiB": early[-1],
        "memory at the end, MiB": seen.memory[-1],
        "memory at most, MiB": max(seen.memory),
    }


def failures(figures: dict[str, float], seen: Seen, log: str) -> list[str]:
    """Say what should not have been."""
    found = seen.faults[:10]
    if not figures["answers"]:
        found.append("there was no answer at all")
    if seen.wrong:
        found.append(f"{seen.wrong} wrong answers")
    grown = figures["memory at the end, MiB"] - figures["memory after a fifth, MiB"]
    if grown > GROWTH and len(seen.memory) >= _JUDGED_FROM:
        found.append(f"the memory grew by {grown:,.0f} MiB after the first fifth")
    if "Traceback" in log:
        found.append(f"a traceback in the server's log: {log[log.index('Traceback') :][:3000]}")
    return found


def measure(args: argparse.Namespace) -> list[str]:
    """Run it, print the figures, and return what should not have been."""
    clients, seconds, n_rows = (5, 5.0, 40) if args.smoke else (args.clients, args.seconds, 200)
    with tempfile.TemporaryDirectory() as place:
        adapter, expected = make_adapter(Path(place), n_rows)
        server = start(adapter, Path(place))
        try:
            seen = asyncio.run(load(server, expected, clients, seconds))
        finally:
            server.process.terminate()
            server.process.wait(timeout=30)
        log = server.log.read_text(encoding="utf-8", errors="replace")
    figures = summary(seen, seconds)
    table = [["", "found"], *([name, f"{value:,.4g}"] for name, value in figures.items())]
    kinds = [["", "times"], *([kind, str(times)] for kind, times in (*seen.refused.items(), *seen.full.items()))]
    title = f"{clients} clients for {seconds:g} s, {MALFORMED:.0%} of the requests malformed"
    found = failures(figures, seen, log)
    report_tables(
        "app_load",
        {title: table, "What was refused": kinds},
        output_folder(args),
        figures=figures,
        failures=found,
        memory_by_second=[round(mib, 1) for mib in seen.memory],
    )
    return found


def main() -> None:
    """Read the options and run."""
    parser = options(__doc__, rounds=None)
    parser.add_argument("--clients", type=int, default=50, help="at once (50)")
    parser.add_argument("--seconds", type=float, default=120.0, help="how long (120)")
    found = measure(parser.parse_args())
    print("\n".join(found) or "Nothing was found.")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
