"""Look into the wheel and the source distribution before they are published.

    python -m build && python scripts/check_dist.py dist

Each fault is a line, and any fault makes the exit status 1.
"""

from __future__ import annotations

import argparse
import re
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

MAX_BYTES = {"wheel": 1_000_000, "source distribution": 3_000_000}

# Without these a wheel has no types or no licence, and a source distribution can be neither built nor tested.
IN_WHEEL = ("sentlora/__init__.py", "sentlora/py.typed", "{info}/METADATA", "{info}/licenses/LICENSE")
IN_SDIST = (
    "PKG-INFO",
    "pyproject.toml",
    "hatch_build.py",
    "README.md",
    "CHANGELOG.md",
    "LICENSE",
    "constraints.txt",
    "Makefile",
    "src/sentlora/py.typed",
    "tests/conftest.py",
)

# What somebody left lying about: caches, data, weights, results, anything that was built.
JUNK = re.compile(
    r"(^|/)(__pycache__|\.venv|\.git|site|dist|build|runs|results|\.[a-z]+_cache|\.hypothesis)(/|$)"
    r"|\.(pyc|safetensors|bin|pt|pth|pkl|parquet|db|zip|onnx)$"
)


def faults(folder: Path) -> Iterator[str]:
    """Yield what is wrong with the two files of a folder."""
    wheels, sdists = sorted(folder.glob("*.whl")), sorted(folder.glob("*.tar.gz"))
    if len(wheels) != 1 or len(sdists) != 1:
        yield f"Expected one wheel and one source distribution in {folder}; found {len(wheels)} and {len(sdists)}."
        return
    wheel, sdist = wheels[0], sdists[0]
    if wheel.name.split("-")[1] != sdist.name.removesuffix(".tar.gz").split("-")[1]:
        yield f"{wheel.name} and {sdist.name} are not of the same version."
    with zipfile.ZipFile(wheel) as archive:
        yield from _faults_of(wheel, "wheel", archive.namelist(), IN_WHEEL)
        info = f"{'-'.join(wheel.name.split('-')[:2])}.dist-info"
        strangers = {PurePosixPath(name).parts[0] for name in archive.namelist()} - {"sentlora", info}
        yield from (f"{wheel.name} would put {name!r} into site-packages." for name in sorted(strangers))
    with tarfile.open(sdist) as archive:
        names = [PurePosixPath(name).relative_to(sdist.name.removesuffix(".tar.gz")) for name in archive.getnames()]
        yield from _faults_of(sdist, "source distribution", [str(name) for name in names], IN_SDIST)


def _faults_of(path: Path, kind: str, names: list[str], wanted: tuple[str, ...]) -> Iterator[str]:
    info = f"{'-'.join(path.name.split('-')[:2])}.dist-info"
    for name in wanted:
        if name.format(info=info) not in names:
            yield f"{path.name} lacks {name.format(info=info)}."
    yield from (f"{path.name} holds {name}, which does not belong in it." for name in names if JUNK.search(name))
    if (size := path.stat().st_size) > MAX_BYTES[kind]:
        yield f"{path.name} has {size:,} bytes; a {kind} may have {MAX_BYTES[kind]:,}."


def main() -> int:
    """Check the folder that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", default=Path("dist"), help="where the two files are (dist)")
    folder = parser.parse_args().folder
    found = list(faults(folder))
    for fault in found:
        print(fault, file=sys.stderr)
    if not found:
        for path in sorted(folder.iterdir()):
            print(f"{path.name}: {path.stat().st_size:,} bytes, nothing amiss")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
