"""Print the changes of a version, after a look whether everything agrees on which version that is.

    python scripts/release_notes.py v0.1.0

The tag, `__version__`, CITATION.cff and the changelog must name the same version, and the changelog its day.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


class NotReadyError(Exception):
    """The repository is not in the state in which this version can be released."""


def notes(root: Path, tag: str) -> str:
    """Return the section of a version in the changelog, without its heading.

    Args:
        root: The repository.
        tag: The tag of the release: ``v`` and the version.

    Raises:
        NotReadyError: If the four places do not agree, or the changelog says nothing.
    """
    version = tag.removeprefix("v")
    for name, pattern in (
        ("src/sentlora/__init__.py", r'^__version__ = "(.+)"$'),
        ("CITATION.cff", r"^version: (.+)$"),
    ):
        found = re.search(pattern, (root / name).read_text(encoding="utf-8"), re.MULTILINE)
        if found is None or found[1] != version:
            raise NotReadyError(
                f"The tag is {tag!r}, so {name} must have the version {version!r}; found {found and found[1]!r}."
            )
    heading = re.compile(rf"^## \[{re.escape(version)}\] - (.+)$", re.MULTILINE)
    changelog = (root / "CHANGELOG.md").read_text(encoding="utf-8")
    start = heading.search(changelog)
    if start is None or not re.fullmatch(r"\d{4}-\d\d-\d\d", start[1]):
        raise NotReadyError(
            f"CHANGELOG.md needs the heading '## [{version}] - YYYY-MM-DD' with the day of the release; "
            f"found {start[0] if start else 'no heading of this version'!r}."
        )
    section = re.split(r"^## ", changelog[start.end() :], maxsplit=1, flags=re.MULTILINE)[0].strip()
    if not section:
        raise NotReadyError(f"CHANGELOG.md says nothing about {version}.")
    return section


def main() -> int:
    """Print the notes of the tag that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tag", help="for instance v0.1.0")
    try:
        print(notes(ROOT, parser.parse_args().tag))
    except NotReadyError as error:
        print(f"Not ready: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
