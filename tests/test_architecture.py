"""The house stands as docs/architecture.md draws it: imports point upward only."""

from __future__ import annotations

import ast
import importlib
import inspect
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import sentlora

PACKAGE = Path(sentlora.__file__).parent
MAX_LINES = 400

# From the top of the house to its bottom. A room may import from the rooms before it, never from those after.
ROOMS = (
    ("errors",),
    ("processes",),
    ("console", "notebook", "strict_json", "writing"),
    ("labels", "ratings"),
    ("augmentation",),
    ("settings",),
    ("config",),
    ("data",),
    ("model",),
    ("training",),
    ("inference",),
    ("evaluation",),
    ("sharing",),
    ("parameters",),
    (
        "describing",
        "explaining",
        "exporting",
        "fitting",
        "keeping",
        "operating_point",
        "scoring",
        "showing",
        "sweeping",
        "training_history",
    ),
    ("sentiment_lora",),
    ("comparison", "demo", "multi_adapter", "predicting", "profiling", "transferring", "workflow"),
    ("cli", "app"),
    ("",),  # the package itself, which only names what the others hold
)
RANK = {name: rank for rank, room in enumerate(ROOMS) for name in room}

# The one arrow that points down: `clf.demo()` opens the screen, which is built on the facade. It stands inside of the
# method, so nothing of the screen is loaded before somebody asks for it. docs/architecture.md says why it is there.
DOWNWARD = {("sentlora.showing", "sentlora.app")}


def modules(package: Path) -> dict[str, Path]:
    """Return the file of each module below ``package``; the package's own ``__init__`` is exempt."""
    found = {}
    for path in sorted(package.rglob("*.py")):
        parts = (package.name, *path.relative_to(package).with_suffix("").parts)
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    found.pop(package.name, None)
    return found


def imports(path: Path, known: dict[str, Path], package: str) -> Iterator[tuple[int, str, bool]]:
    """Yield (line, module, whether it runs) for each import of our own, wherever in the file it stands."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    guarded = [
        node for node in ast.walk(tree) if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
    ]
    typed_only = {id(inner) for guard in guarded for node in guard.body for inner in ast.walk(node)}
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level:
            raise AssertionError(f"{path}:{node.lineno}: a relative import; write it out as {package}...")
        elif isinstance(node, ast.ImportFrom) and node.module:
            # `from a import b` reaches the module a.b where there is one, and a itself otherwise.
            inner = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [name if name in known else node.module for name in inner]
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module") and node.args:
            names = [arg.value for arg in node.args[:1] if isinstance(arg, ast.Constant)]
        yield from ((node.lineno, name, id(node) not in typed_only) for name in names if name.split(".")[0] == package)


def room_of(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def faults(package: Path) -> list[str]:
    """Return what is wrong with the imports of ``package``, one line for each wrong arrow."""
    known, wrong, within = modules(package), [], {}
    for module, path in known.items():
        room = room_of(module)
        if room not in RANK:
            wrong.append(f"{module}: {room!r} has no place in the design; add it to ROOMS and docs/architecture.md")
            continue
        for line, target, runs in sorted(set(imports(path, known, package.name))):
            if (module, f"{package.name}.{room_of(target)}") in DOWNWARD:
                continue
            if RANK.get(room_of(target), -1) > RANK[room]:
                wrong.append(f"{path.relative_to(package)}:{line}: {module} imports {target}, which lies below it")
            elif RANK.get(room_of(target)) == RANK[room] and target != module and runs:
                within.setdefault(module, set()).add(target)
    return wrong + [f"imports run in a circle: {' -> '.join(circle)}" for circle in circles(within)]


def circles(arrows: dict[str, set[str]]) -> list[list[str]]:
    """Return each module that reaches itself, with the way back."""
    found: list[list[str]] = []
    for start in sorted(arrows):
        ways, seen = [[start]], set()
        while ways:
            way = ways.pop()
            for target in sorted(arrows.get(way[-1], ())):
                if target == start:
                    found.append([*way, start])
                    ways.clear()
                    break
                if target not in seen:
                    seen.add(target)
                    ways.append([*way, target])
    return found


def test_imports_point_upward_only():
    assert faults(PACKAGE) == []


@pytest.fixture
def tree(tmp_path):
    """Write a tiny package from {file: source}."""

    def write(files: dict[str, str]) -> Path:
        package = tmp_path / "sentlora"
        for name, source in {"__init__": "", **files}.items():
            path = package / f"{name}.py"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(source, encoding="utf-8")
        return package

    return write


@pytest.mark.parametrize(
    "source",
    [
        "from sentlora.model.adapter import attach",
        "import sentlora.model.adapter",
        "import sentlora.model.adapter as adapter",
        "from sentlora.model import adapter",
        "def late():\n    from sentlora.model.adapter import attach",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from sentlora.model.adapter import attach",
        "from importlib import import_module\nimport_module('sentlora.model.adapter')",
        "from sentlora import LabelMap",
        "import sentlora",
    ],
)
def test_the_checker_catches_an_arrow_that_runs_downward(tree, source):
    (fault,) = faults(tree({"data/columns": source, "model/adapter": ""}))
    assert fault.startswith("data/columns.py:")
    assert "sentlora.data.columns imports sentlora" in fault
    assert fault.endswith("which lies below it")


def test_the_checker_lets_upward_arrows_and_neighbours_pass(tree):
    package = tree(
        {
            "errors": "",
            "data/text": "from sentlora.errors import DataError",
            "data/columns": "from sentlora.data.text import clean\nimport torch\nfrom sentlora import errors",
            "model/adapter": "from sentlora.data import columns",
        }
    )
    assert faults(package) == []


def test_the_checker_catches_a_circle_within_a_room(tree):
    package = tree(
        {"data/a": "from sentlora.data import b", "data/b": "def late():\n    from sentlora.data.a import x"}
    )
    assert "imports run in a circle: sentlora.data.a -> sentlora.data.b -> sentlora.data.a" in faults(package)


def test_neighbours_may_name_each_others_types(tree):
    typed = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from sentlora.data.a import A"
    assert faults(tree({"data/a": "from sentlora.data import b", "data/b": typed})) == []


def test_the_checker_catches_a_room_without_a_place(tree):
    (fault,) = faults(tree({"helpers": ""}))
    assert fault.startswith("sentlora.helpers: 'helpers' has no place in the design")


def test_the_checker_catches_a_relative_import(tree):
    with pytest.raises(AssertionError, match="a relative import"):
        faults(tree({"data/columns": "from . import text"}))


def test_no_module_is_longer_than_a_person_reads():
    lengths = {str(path): len(path.read_text(encoding="utf-8").splitlines()) for path in PACKAGE.rglob("*.py")}
    assert {path: lines for path, lines in lengths.items() if lines > MAX_LINES} == {}


def test_the_arrow_that_points_down_is_one_and_late():
    ((module, room),) = DOWNWARD
    tree = ast.parse(modules(PACKAGE)[module].read_text(encoding="utf-8"))
    late = [
        node.module
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef)
        for node in ast.walk(function)
        if isinstance(node, ast.ImportFrom)
    ]
    every = [node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    down = [name for name in every if str(name).startswith(f"{room}.")]
    assert down
    assert sorted(down) == sorted(late)


def test_import_sentlora_pulls_in_nothing_heavy():
    heavy = "torch transformers peft datasets evaluate accelerate sklearn scipy pandas numpy matplotlib typer rich"
    code = f"import sys, sentlora; print(*(name for name in {heavy.split()} if name in sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.split() == []


def test_the_public_names_are_those_of_the_lazy_table():
    assert sorted(sentlora.__all__) == sorted(sentlora._HOME)
    assert dir(sentlora) == sorted(sentlora.__all__)


def test_the_lazy_table_agrees_with_what_type_checkers_see():
    tree = ast.parse(Path(sentlora.__file__).read_text(encoding="utf-8"))
    guarded = [node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"]
    seen = {alias.name: node.module for part in guarded for node in part.body for alias in node.names}
    assert seen == sentlora._HOME


@pytest.mark.parametrize("name", sorted(sentlora.__all__))
def test_every_public_name_can_be_imported_and_says_what_it_is(name):
    value = getattr(sentlora, name)
    assert inspect.getdoc(value), f"{name} has no docstring"
    assert getattr(importlib.import_module(sentlora._HOME[name]), name) is value


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute 'SentimentLora'"):
        sentlora.SentimentLora  # noqa: B018
