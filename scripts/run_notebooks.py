"""Run the notebooks of examples/ from top to bottom, each in an empty folder of its own.

    python scripts/run_notebooks.py
    python scripts/run_notebooks.py --smoke                 # a run of seconds
    python scripts/run_notebooks.py --keep run examples/quickstart.ipynb    # with its outputs, in the folder run

A cell that fails ends the run with its traceback, and the exit status is 1. The notebooks themselves stay as they are.
With ``--smoke`` the cell with the tag ``parameters`` is followed by what its metadata hold under ``smoke``.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

EXAMPLES = Path(__file__).parents[1] / "examples"
_MOST_SECONDS = 1800  # for one cell


def with_smoke_parameters(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Put the parameters of a short run below the cell that has those of a long one.

    Args:
        notebook: Has one cell with the tag ``parameters``, whose metadata hold code under ``smoke``.

    Raises:
        ValueError: If it has not.
    """
    found = [i for i, cell in enumerate(notebook.cells) if "parameters" in cell.metadata.get("tags", ())]
    if len(found) != 1 or not notebook.cells[found[0]].metadata.get("smoke"):
        raise ValueError(
            "Expected one cell with the tag 'parameters', whose metadata hold the code of a short run under 'smoke'; "
            f"found {len(found)} cells with the tag."
        )
    (place,) = found
    notebook.cells.insert(place + 1, nbformat.v4.new_code_cell(notebook.cells[place].metadata["smoke"]))
    return notebook


def run(path: Path, *, smoke: bool, keep: Path | None = None) -> None:
    """Run one notebook.

    Args:
        path: The notebook.
        smoke: Take the parameters of a short run.
        keep: The folder for the notebook with its outputs; None keeps none.

    Raises:
        CellExecutionError: If a cell fails; its text is the cell with the traceback.
    """
    notebook = nbformat.read(path, as_version=4)
    if smoke:
        notebook = with_smoke_parameters(notebook)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        client = NotebookClient(
            notebook,
            timeout=_MOST_SECONDS,
            resources={"metadata": {"path": folder}},
            extra_arguments=["--log-level=ERROR"],  # the kernel would warn that it listens on this machine
        )
        client.execute()
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
        nbformat.write(notebook, keep / path.name)


def main() -> int:
    """Run the notebooks that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("notebooks", nargs="*", type=Path, help="which ones (all of examples/)")
    parser.add_argument("--smoke", action="store_true", help="with the parameters of a short run")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="where to write them with their outputs (nowhere)")
    args = parser.parse_args()
    failed = False
    for path in args.notebooks or sorted(EXAMPLES.glob("*.ipynb")):
        started = time.perf_counter()
        try:
            run(path, smoke=args.smoke, keep=args.keep)
        except CellExecutionError as error:
            failed = True
            print(f"{path.name} failed:\n{error}", file=sys.stderr)
        else:
            print(f"{path.name}: every cell ran, in {time.perf_counter() - started:.0f} s")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
