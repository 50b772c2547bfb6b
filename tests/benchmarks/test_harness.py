"""The harness of the benchmarks, with ways that only pretend to work."""

import json
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(autouse=True)
def benchmarks_on_path(monkeypatch):
    # The scripts find their helpers beside themselves; names such as `plain` should not stay importable after.
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(BENCHMARKS)):
            del sys.modules[name]


def ways(log, **rates):
    from harness import Way

    def way(name, values):
        values = iter(values)

        def run():
            log.append(name)
            return next(values)

        return Way(name, run, note=f"the {name} one")

    return [way(name, values) for name, values in rates.items()]


def test_ways_take_turns_and_the_warm_up_does_not_count():
    from harness import run_rounds

    log = []
    figures = run_rounds(ways(log, a=[99, 1, 2], b=[99, 3, {"rate": 4, "seconds": 5}]), rounds=2)
    assert log == ["a", "b"] * 3
    assert figures == {"a": [{"rate": 1}, {"rate": 2}], "b": [{"rate": 3}, {"rate": 4, "seconds": 5}]}


def test_without_a_warm_up_the_first_round_counts():
    from harness import run_rounds

    assert run_rounds(ways([], a=[7]), rounds=1, warm_up=False) == {"a": [{"rate": 7}]}


def test_the_ratio_is_the_median_of_the_ratios_of_the_rounds():
    from harness import Goal, benchmark

    # The machine is ten times slower in the second round: the ratio of that round is as good as any.
    both = ways([], fast=[20, 2, 60], slow=[10, 1, 10])
    result = benchmark(
        "demo", both, [Goal("fast", "slow", 2), Goal("fast", "slow", 3)], unit="x/s", rounds=3, warm_up=False
    )
    fast, slow = result["ways"]
    assert (fast["median"], fast["min"], fast["max"]) == (20, 2, 60)
    assert slow["median"] == 10
    assert [(ratio["median"], ratio["min"], ratio["max"]) for ratio in result["ratios"]] == [(2, 2, 6)] * 2
    assert [ratio["reached"] for ratio in result["ratios"]] == [True, False]


def test_the_report_is_a_table_markdown_and_json(tmp_path, capsys):
    from harness import Goal, benchmark, report

    both = ways([], fast=[20], slow=[10])
    report(benchmark("demo", both, [Goal("fast", "slow", 3)], unit="x/s", rounds=1, warm_up=False), tmp_path / "new")
    printed = capsys.readouterr().out
    assert "| fast | 20 | 20 | 20 | the fast one |" in printed
    assert "| fast / slow | 2x | 2x | 2x | goal 3x: missed |" in printed
    written = json.loads((tmp_path / "new" / "demo.json").read_text())
    assert {"cpu", "cores", "torch", "transformers", "date"} <= set(written["machine"])
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["demo.json"]


def test_a_smoke_run_leaves_no_results_unless_asked(tmp_path):
    from harness import RESULTS, options, output_folder

    parser = options("A benchmark.")
    assert output_folder(parser.parse_args(["--smoke"])) is None
    assert output_folder(parser.parse_args(["--smoke", "--output", str(tmp_path)])) == tmp_path
    assert output_folder(parser.parse_args([])) == RESULTS
    assert parser.parse_args(["--rounds", "7"]).rounds == 7


def test_finished_rows_are_kept_and_not_measured_again(tmp_path):
    from rows_file import RowsFile

    path = tmp_path / "rows.json"
    assert RowsFile(path).get("a", lambda: {"accuracy": 0.5})["accuracy"] == 0.5
    with pytest.raises(ZeroDivisionError):
        RowsFile(path).get("b", lambda: {"accuracy": 1 / 0})
    again = RowsFile(path)
    assert again.get("a", lambda: pytest.fail("measured twice"))["accuracy"] == 0.5
    assert "machine" in again.rows["a"]
    assert RowsFile(path, fresh=True).get("a", lambda: {"accuracy": 0.75})["accuracy"] == 0.75
    assert json.loads(path.read_text())["a"]["accuracy"] == 0.75


def test_a_slice_has_the_lengths_of_the_whole():
    from slices import same_lengths

    texts = ["x" * n for n in range(100)]
    rows = same_lengths(texts, 10)
    assert sorted(rows) == [5, 15, 25, 35, 45, 55, 65, 75, 85, 95]
    assert rows != sorted(rows)
    assert same_lengths(texts, 10) == rows
    assert sorted(same_lengths(texts, 1000)) == list(range(100))
