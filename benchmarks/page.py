"""The page "How fast is it?" of the documentation, made of what the benchmarks wrote.

    python benchmarks/page.py

It takes the newest JSON files from results/ into published/, which is kept with the project, and writes
docs/how-fast.md with a table and a plot of each. No figure on that page is typed by hand: `--check` fails where the
page is not the one that the published files make, and so does a test.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import RESULTS
from results_out import markdown
from sentlora.evaluation.plot_style import new_axes, paint, theme_of

PUBLISHED = Path(__file__).parent / "published"
DOCS = Path(__file__).parents[1] / "docs"
PAGE, PICTURES = "how-fast.md", "pictures/speed"
_WIDTH = 8.2
# How the ways begin that a plot shows in colour.
_OURS = ("sentlora", "one MultiAdapter")

Result = Mapping[str, Any]


@dataclass(frozen=True)
class Section:
    """One benchmark on the page: the heading, and what a reader has to know to judge its figures."""

    name: str
    title: str
    words: str


HEAD = """# How fast is it?

The figures and plots of this page are made by `make bench` from what the benchmarks wrote, and by no hand. In each of
them all ways run in turn, in one process, so that a machine that slows down slows all of them; a bar is the median of
the rounds, its whisker reaches from the slowest round to the fastest, and a ratio is the median of the ratios within
each round. What is best differs from machine to machine: run the command on yours. SST-2 is read from the Hub, or from
the folder that the environment variable `SENTLORA_DATA` names.

Nothing here was measured on a GPU yet.
"""


def sections() -> list[Section]:
    """Return what is on the page, in its order."""
    from page_words import SECTIONS

    return [Section(*words) for words in SECTIONS]


def read_results(folder: Path) -> dict[str, Result]:
    """Read every result that compares ways, by its name."""
    found = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))]
    return {result["benchmark"]: result for result in found if "benchmark" in result}


def publish(about: Sequence[Section]) -> None:
    """Take over what was measured since."""
    PUBLISHED.mkdir(exist_ok=True)
    for one in about:
        if (RESULTS / f"{one.name}.json").is_file():
            shutil.copyfile(RESULTS / f"{one.name}.json", PUBLISHED / f"{one.name}.json")


def table(result: Result) -> list[list[str]]:
    """Lay out the ways of a result."""
    rows = [["way", result["unit"], "slowest to fastest round", ""]]
    return rows + [
        [row["way"], _figure(row["median"]), f"{_figure(row['min'])} to {_figure(row['max'])}", row["note"]]
        for row in result["ways"]
    ]


def ratios(result: Result) -> list[list[str]]:
    """Lay out the ratios of a result, and what was hoped for."""
    rows = [["ratio", "median", "range", "goal"]]
    for row in result["ratios"]:
        goal = f"{row['at_least']:g}x, {'reached' if row['reached'] else '**missed**'}" if row["at_least"] else ""
        span = f"{row['min']:.3g} to {row['max']:.3g}"
        rows.append([f"{row['way']} / {row['reference']}", f"{row['median']:.3g}x", span, goal])
    return rows


def _figure(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def section(about: Section, result: Result) -> str:
    """Write the part of the page that shows one result."""
    machine = result["machine"]
    where = (
        f"{machine['cpu']}, {machine['cores']} cores, {machine['torch_threads']} threads, torch {machine['torch']}, "
        f"transformers {machine['transformers']}, peft {machine['peft']}; {machine['date']}"
    )
    parts = [f"## {about.title}", about.words, f"```sh\n{result['command']}\n```"]
    if "ways" in result:
        where += f"; {len(result['ways'][0]['rounds'])} rounds"
        parts += [_picture(about, "bars"), markdown(table(result))]
        parts += [markdown(ratios(result))] if result["ratios"] else []
    for title, rows in result.get("tables", {}).items():
        parts += [f"{title}:", markdown(rows)]
    if "curve" in result:
        parts.append(_picture(about, "curve"))
    return "\n\n".join([*parts, f"<small>{where}</small>"]) + "\n"


def _picture(about: Section, what: str) -> str:
    place = f"{PICTURES}/{about.name}"
    return f"![{about.title}: {what}]({place}.svg#only-light)![{about.title}: {what}]({place}-dark.svg#only-dark)"


def page(results: Mapping[str, Result], about: Sequence[Section]) -> str:
    """Write the page; what has not been measured is named at its end."""
    there = [one for one in about if one.name in results]
    missing = [one for one in about if one.name not in results]
    parts = [HEAD, *(section(one, results[one.name]) for one in there)]
    if missing:
        lines = "".join(f"- {one.title}\n" for one in missing)
        parts.append(f"## Not yet measured\n\n{lines}")
    return "\n".join(parts)


def draw(result: Result, path: Path, *, dark: bool) -> None:
    """Draw a result, as bars or as a curve; nothing where it has tables alone."""
    if "ways" in result:
        _save(_bars(result["ways"], result["unit"], dark=dark), path, dark=dark)
    elif "curve" in result:
        _save(_curve(result["curve"], dark=dark), path, dark=dark)


def _curve(curve: Mapping[str, Any], *, dark: bool) -> Any:
    ax = new_axes(_WIDTH, 2.8)
    ax.plot(curve["x"], curve["y"], color=theme_of(dark).colours[0])
    ax.set_ylim(0, 1.25 * max(curve["y"]))
    ax.set_xlim(0, max(curve["x"]))
    ax.set_xlabel(curve["x_label"])
    ax.set_ylabel(curve["y_label"])
    return ax


def _bars(ways: Sequence[Mapping[str, Any]], unit: str, *, dark: bool) -> Any:
    """Draw each way as a bar with a whisker from its slowest round to its fastest."""
    theme = theme_of(dark)
    ax = new_axes(_WIDTH, 0.9 + 0.46 * len(ways))
    places = range(len(ways))
    medians = [row["median"] for row in ways]
    spans = [[row["median"] - row["min"] for row in ways], [row["max"] - row["median"] for row in ways]]
    colours = [theme.colours[0] if row["way"].startswith(_OURS) else theme.muted for row in ways]
    ax.barh(places, medians, xerr=spans, color=colours, height=0.62, ecolor=theme.ink, capsize=3)
    for place, row in zip(places, ways, strict=True):
        ax.annotate(f"  {_figure(row['median'])}", (row["max"], place), va="center", color=theme.ink, fontsize="small")
    ax.set_yticks(places, [row["way"] for row in ways])
    ax.invert_yaxis()
    ax.set_xlim(0, 1.14 * max(row["max"] for row in ways))
    ax.set_xlabel(unit)
    return ax


def _save(ax: Any, path: Path, *, dark: bool) -> None:
    ax.spines[["top", "right"]].set_visible(False)
    paint(ax, dark=dark)
    path.parent.mkdir(parents=True, exist_ok=True)
    # No date and no random ids: the same figures give the same file.
    import matplotlib

    with matplotlib.rc_context({"svg.hashsalt": path.stem}):
        ax.figure.savefig(path, metadata={"Date": None})


def main() -> int:
    """Write the page, or check it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; fail where the page is out of date")
    parser.add_argument("--smoke", action="store_true", help="the same as --check")
    args = parser.parse_args()
    about = sections()
    if not (args.check or args.smoke):
        publish(about)
    results = read_results(PUBLISHED)
    text, place = page(results, about), DOCS / PAGE
    if args.check or args.smoke:
        same = place.is_file() and place.read_text(encoding="utf-8") == text
        print(f"{PAGE}: " + ("up to date" if same else "out of date; run: python benchmarks/page.py"))
        return 0 if same else 1
    for one in about:
        if one.name in results:
            draw(results[one.name], DOCS / PICTURES / f"{one.name}.svg", dark=False)
            draw(results[one.name], DOCS / PICTURES / f"{one.name}-dark.svg", dark=True)
    place.write_text(text, encoding="utf-8")
    print(f"Written: {place}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
