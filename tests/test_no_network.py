"""Nothing is asked of any network by importing, training, saving, loading, or showing the screen."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

# In a process of its own, where nothing says that it is offline: every name that is looked up, and every connection
# that is begun, is written down and refused. Folders of this machine are all that it is given.
DRIVER = """
import importlib, json, pkgutil, sys

asked = []

def watch(event, args):
    if event in ("socket.getaddrinfo", "socket.gethostbyname", "socket.connect", "socket.sendto"):
        place = str(args[0] if event.startswith("socket.get") else args[1])
        if not any(own in place for own in ("127.0.0.1", "localhost", "::1", "'/")):
            asked.append(place)
            raise OSError("there is no network")

sys.addaudithook(watch)
base, folder, steps = sys.argv[1], sys.argv[2], {}

import sentlora

for module in pkgutil.walk_packages(sentlora.__path__, "sentlora."):
    if module.name.startswith("sentlora.app.") and "gradio" not in sys.argv[3:]:
        continue
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
steps["import"] = asked[:]

clf = sentlora.SentimentLoRA(base, epochs=1, targets="all-linear", max_length=16, allow_leaks=True, verbose=False)
clf.fit(["good film", "bad film"] * 20, ["positive", "negative"] * 20)
clf.save(folder)
loaded = sentlora.SentimentLoRA.load(folder, verbose=False)
loaded.evaluate({"text": ["good film", "bad film"] * 5, "label": ["positive", "negative"] * 5})
steps["train, save, load, evaluate"] = asked[:]

if "gradio" in sys.argv[3:]:
    import httpx

    screen = loaded.demo(wait=False)
    httpx.get(screen.local_url).raise_for_status()
    screen.close(verbose=False)
    steps["screen"] = asked[:]

try:
    import socket
    socket.create_connection(("sentlora.invalid", 443), timeout=1)
except OSError:
    steps["the watch itself"] = asked[:]
print("\\n" + json.dumps(steps))
"""


def test_nothing_is_asked_of_any_network(tiny_bert: str, tmp_path: Path) -> None:
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("HF_", "TRANSFORMERS_", "GRADIO_"))
    }
    own = {"HF_HOME": str(tmp_path / "home"), "SENTLORA_CACHE": str(tmp_path / "cache"), "OMP_NUM_THREADS": "1"}
    extras = ["gradio"] if find_spec("gradio") else []
    done = subprocess.run(
        [sys.executable, "-c", DRIVER, tiny_bert, str(tmp_path / "adapter"), *extras],
        env={**kept, **own},
        capture_output=True,
        text=True,
        timeout=300,
    )
    if done.returncode:
        pytest.fail(done.stderr[-3000:])
    steps = json.loads(done.stdout.splitlines()[-1])
    assert steps.pop("the watch itself") == ["sentlora.invalid"]
    assert all(asked == [] for asked in steps.values()), steps
    assert len(steps) == 2 + len(extras)
