"""The page that is made of the benchmarks' results."""

import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
MACHINE = {"cpu": "A CPU", "cores": 2, "torch_threads": 2, "torch": "2.13.0", "transformers": "5", "peft": "0.21"}


@pytest.fixture
def page(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    before = set(sys.modules)
    import page

    yield page
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(BENCHMARKS)):
            del sys.modules[name]


def way(name, *rates):
    rates = sorted(rates)
    spread = {"median": rates[len(rates) // 2], "min": rates[0], "max": rates[-1]}
    return {"way": name, "note": f"the {name} one", **spread, "rounds": [{"rate": rate} for rate in rates]}


@pytest.fixture
def result():
    ratio = {"way": "sentlora", "reference": "plain", "at_least": 3, "median": 4, "min": 3.5, "max": 4.5}
    return {
        "benchmark": "demo",
        "unit": "texts/s",
        "command": "python benchmarks/demo.py --rounds 3",
        "machine": {**MACHINE, "date": "2026-01-02"},
        "ways": [way("plain", 9.5, 10, 11), way("sentlora", 1234, 40, 41)],
        "ratios": [{**ratio, "reached": True}, {**ratio, "at_least": 5, "reached": False}],
        "tables": {"More": [["a", "b"], ["1", "2"]]},
    }


def test_every_figure_of_a_section_is_one_of_the_result(page, result):
    about = page.Section("demo", "A demonstration", "What was done.")
    text = page.page({"demo": result}, [about, page.Section("other", "Something else", "")])
    assert "## A demonstration\n\nWhat was done.\n\n```sh\npython benchmarks/demo.py --rounds 3\n```" in text
    assert "| plain | 10 | 9.5 to 11 | the plain one |" in text
    assert "| sentlora | 41 | 40 to 1,234 | the sentlora one |" in text
    assert "| sentlora / plain | 4x | 3.5 to 4.5 | 3x, reached |" in text
    assert "| sentlora / plain | 4x | 3.5 to 4.5 | 5x, **missed** |" in text
    assert "More:\n\n| a | b |\n| --- | --- |\n| 1 | 2 |" in text
    assert "A CPU, 2 cores, 2 threads, torch 2.13.0, transformers 5, peft 0.21; 2026-01-02; 3 rounds" in text
    assert text.endswith("## Not yet measured\n\n- Something else\n")


def test_tables_alone_have_no_bars(page, result):
    del result["ways"], result["ratios"]
    text = page.page({"demo": result}, [page.Section("demo", "A demonstration", "")])
    assert ".svg" not in text
    assert "| 1 | 2 |" in text


def test_the_plot_of_the_same_figures_is_the_same_file(page, result, tmp_path):
    pytest.importorskip("matplotlib")
    for name in ("a", "b"):
        page.draw(result, tmp_path / name / "demo.svg", dark=name == "c")
    drawn = [(tmp_path / name / "demo.svg").read_bytes() for name in ("a", "b")]
    assert drawn[0] == drawn[1]
    page.draw(result, tmp_path / "demo.svg", dark=True)
    assert (tmp_path / "demo.svg").read_bytes() != drawn[0]


def test_a_curve_stands_behind_its_tables(page, result, tmp_path):
    pytest.importorskip("matplotlib")
    del result["ways"], result["ratios"]
    result["curve"] = {"x": [0, 1, 2], "y": [700.0, 800.0, 790.0], "x_label": "minutes", "y_label": "memory, MiB"}
    text = page.page({"demo": result}, [page.Section("demo", "A demonstration", "")])
    assert text.index("| 1 | 2 |") < text.index("](pictures/speed/demo.svg#only-light)")
    page.draw(result, tmp_path / "demo.svg", dark=False)
    assert "memory, MiB" in (tmp_path / "demo.svg").read_text(encoding="utf-8")


def test_the_page_of_the_documentation_is_the_one_that_the_results_make(page):
    results = page.read_results(page.PUBLISHED)
    made = page.page(results, page.sections())
    assert (page.DOCS / page.PAGE).read_text(encoding="utf-8") == made, "run: python benchmarks/page.py"
    for one in page.sections():
        if {"ways", "curve"} & set(results.get(one.name, {})):
            assert (page.DOCS / page.PICTURES / f"{one.name}.svg").is_file()
