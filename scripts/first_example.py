"""Run the first Python block of a page as it stands there, with the sentlora that is installed.

    python scripts/first_example.py README.md

It runs in an empty folder, so that nothing of a checkout is found by accident.
"""

from __future__ import annotations

import argparse
import os
import re
import tempfile
from pathlib import Path


def first_block(text: str) -> str:
    """Return the code of the first Python block of a page."""
    found = re.search(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    if found is None:
        raise ValueError("The page has no Python block.")
    return found[1]


def main() -> None:
    """Run the block of the page that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("page", type=Path, help="a markdown file")
    code = first_block(parser.parse_args().page.read_text(encoding="utf-8"))
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            exec(compile(code, "first example", "exec"), {"__name__": "__page__"})  # noqa: S102  that is its job
        finally:
            os.chdir(before)  # a system that locks a folder in use would not let it be removed
    import sentlora

    print(f"Ran with sentlora {sentlora.__version__} of {Path(sentlora.__file__).parent}")


if __name__ == "__main__":
    main()
