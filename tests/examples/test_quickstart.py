"""The notebook is one that a reader can run: kept without outputs and machine paths, and a cell that fails is told."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

import nbformat
import pytest

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "examples").glob("*.ipynb"))


@pytest.fixture(scope="module")
def runner() -> ModuleType:
    spec = importlib.util.spec_from_file_location("run_notebooks", ROOT / "scripts" / "run_notebooks.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def write(folder: Path, *cells: str) -> Path:
    """Write a notebook whose first cell has the parameters; its short run sets ``n = 1``."""
    parameters = nbformat.v4.new_code_cell("n = 2", metadata={"tags": ["parameters"], "smoke": "n = 1"})
    notebook = nbformat.v4.new_notebook(cells=[parameters, *map(nbformat.v4.new_code_cell, cells)])
    nbformat.write(notebook, folder / "tried.ipynb")
    return folder / "tried.ipynb"


def test_there_is_a_notebook() -> None:
    assert "quickstart.ipynb" in [path.name for path in NOTEBOOKS]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_a_notebook_is_kept_as_a_reader_wants_it(path: Path, runner: ModuleType) -> None:
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.id for cell in code if cell.outputs or cell.execution_count is not None] == []
    # What an editor leaves behind: places of a machine, and the version of its Python.
    assert re.findall(r"/(?:home|Users|root|tmp|mnt)/|site-packages|[A-Z]:\\\\", path.read_text(encoding="utf-8")) == []
    assert set(notebook.metadata) == {"kernelspec", "language_info"}
    assert set(notebook.metadata.language_info) == {"name"}
    links = [link for cell in notebook.cells for link in re.findall(r"\]\((\S+?)\)", cell.source)]
    assert links
    assert [link for link in links if not (path.parent / link).exists()] == []
    runner.with_smoke_parameters(notebook)


def test_a_short_run_has_its_own_parameters_and_leaves_the_notebook_alone(
    runner: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path, "assert n == 1", "1 / 0")
    before = path.read_text(encoding="utf-8")
    monkeypatch.setattr(sys, "argv", ["run_notebooks.py", "--smoke", str(path)])
    assert runner.main() == 1
    said = capsys.readouterr().err
    assert said.startswith("tried.ipynb failed:\n")
    assert "ZeroDivisionError: division by zero" in re.sub(r"\x1b\[[\d;]*m", "", said)
    assert path.read_text(encoding="utf-8") == before


def test_a_notebook_that_runs_is_kept_where_it_is_asked_for(runner: ModuleType, tmp_path: Path) -> None:
    runner.run(
        write(tmp_path, "from pathlib import Path\nprint(n, [*Path().iterdir()])"), smoke=True, keep=tmp_path / "a/b"
    )
    kept = nbformat.read(tmp_path / "a/b/tried.ipynb", as_version=4)
    assert [output.text for output in kept.cells[-1].outputs] == ["1 []\n"]


@pytest.mark.parametrize("metadata", [{}, {"tags": ["parameters"]}])
def test_a_notebook_without_a_short_run_is_refused(runner: ModuleType, metadata: dict[str, list[str]]) -> None:
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("x = 1", metadata=metadata)])
    with pytest.raises(ValueError, match=r"code of a short run under 'smoke'; found [01] cells with the tag\.$"):
        runner.with_smoke_parameters(notebook)
