"""Files scored by two workers of Ray on this machine, one of which is killed."""

from __future__ import annotations

import logging
import os
import pickle
import signal
from collections.abc import Callable, Iterator
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from typer.testing import CliRunner

from sentlora import BatchPredictor, SentimentLoRA, cli, predict_files, predicting
from sentlora.errors import AdapterFolderError, ConfigError, DataError, MissingExtraError
from sentlora.inference import ray_scoring
from sentlora.inference.tables import predictions

with_ray = [
    pytest.mark.slow,  # to start Ray and its workers takes half a minute
    pytest.mark.skipif(find_spec("ray") is None, reason='Ray is not installed: pip install "sentlora[ray]"'),
]
ROWS = 600


@pytest.fixture
def reviews(tmp_path: Path, held_out_reviews: pd.DataFrame) -> Path:
    """A folder of two CSV files; every other text is repeated."""
    folder = tmp_path / "reviews"
    folder.mkdir()
    texts = [held_out_reviews["text"][row // 2 % 100] for row in range(ROWS)]
    rows = pd.DataFrame({"id": range(ROWS), "text": texts})
    rows[:400].to_csv(folder / "a.csv", index=False)
    rows[400:].to_csv(folder / "b.csv", index=False)
    return folder


# --- a classifier that travels, which needs no Ray --------------------------------------------------


def test_a_batch_predictor_travels_as_a_name_and_answers_as_the_classifier(
    fitted: SentimentLoRA, saved: Path, held_out_reviews: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(saved.parent)
    sent = pickle.dumps(BatchPredictor(saved.name, column="text", abstain_below=0.6))
    assert len(sent) < 1000, "no weights travel"
    monkeypatch.chdir("/")
    loads: list[str] = []
    own = SentimentLoRA.load
    monkeypatch.setattr(SentimentLoRA, "load", lambda place, **how: (loads.append(place), own(place, **how))[1])
    predicting._loaded.cache_clear()
    batch = held_out_reviews[:20]
    expected = predictions(fitted, batch, "text", 0.6)
    scored = [pickle.loads(sent)(batch) for _ in range(2)][-1]
    pd.testing.assert_frame_equal(scored, expected, atol=1e-5)
    assert loads == [str(saved)], "once in a process"

    predictor = BatchPredictor(saved, column="text")
    whole = predictor(batch)
    of_series = predictor(batch["text"])
    assert of_series.columns.tolist() == ["prediction", "confidence", "p_negative", "p_positive"]
    pd.testing.assert_frame_equal(of_series, whole[of_series.columns])
    of_arrays = predictor({"text": np.array(batch["text"], dtype=object), "id": np.arange(20)})
    assert list(of_arrays) == ["text", "id", *of_series.columns] and of_arrays["id"].dtype == np.arange(1).dtype
    assert of_arrays["prediction"].tolist() == whole["prediction"].tolist()
    assert predictor(pa.Table.from_pandas(batch))["prediction"].to_pylist() == whole["prediction"].tolist()


def test_a_batch_predictor_takes_the_iterators_of_spark(saved: Path, held_out_reviews: pd.DataFrame) -> None:
    predictor = BatchPredictor(saved)

    def sentiment(batches: Iterator[pd.Series]) -> Iterator[pd.DataFrame]:  # what pandas_udf wraps
        yield from map(predictor, batches)

    parts = [held_out_reviews["text"][start : start + 10] for start in (0, 10)]
    found = pd.concat(sentiment(iter(parts)))
    assert found.index.tolist() == list(range(20))
    assert found["prediction"].tolist() == predictor(held_out_reviews[:20])["prediction"].tolist()


def test_a_batch_predictor_says_what_is_wrong(saved: Path) -> None:
    with pytest.raises(ConfigError, match="abstain_below must be a probability"):
        BatchPredictor(saved, abstain_below=2)
    with pytest.raises(DataError, match="There is no column 'review'"):
        BatchPredictor(saved, column="review")(pd.DataFrame({"text": ["fine"]}))
    with pytest.raises(AdapterFolderError):
        BatchPredictor(saved.parent)(pd.Series(["fine"]))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--engine", "spark"], "--engine must be local or ray; found 'spark'"),
        (["--workers", "2"], "--workers counts the workers of --engine ray"),
        (
            ["--engine", "ray"],
            "--engine ray reads the files of --file and writes the folder of --output; it needs both",
        ),
        (
            ["--engine", "ray", "--file", "x", "--output", "y", "--workers", "0"],
            "workers must be a whole number from 1",
        ),
    ],
)
def test_the_command_refuses(saved: Path, arguments: list[str], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        CliRunner().invoke(cli.app, ["predict", str(saved), *arguments], catch_exceptions=False)


def test_without_ray_the_extra_is_named(saved: Path, reviews: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "ray.data", None)
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    with pytest.raises(MissingExtraError, match=r'Prediction by many workers needs .*pip install "sentlora\[ray\]"'):
        predict_files(saved, reviews, reviews.parent / "scored")


# --- with Ray ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def one_ray() -> Iterator[None]:
    import ray

    size = {"num_cpus": 2, "object_store_memory": 100 * 2**20}
    ray.init(include_dashboard=False, log_to_driver=False, logging_level=logging.CRITICAL, **size)
    yield
    ray.shutdown()


def killed_at(folder: Path, call: int, place: str) -> Callable[[], SentimentLoRA]:
    """Return what loads a classifier whose worker is killed once, in the middle of a piece."""

    def load() -> SentimentLoRA:
        clf = SentimentLoRA.load(place, verbose=False)
        calls = 0

        def predict_proba(texts: pd.Series) -> np.ndarray:
            nonlocal calls
            calls += 1
            if calls == call and not (folder / "killed").exists():
                (folder / "killed").touch()
                os.kill(os.getpid(), signal.SIGKILL)
            return SentimentLoRA.predict_proba(clf, texts)

        clf.predict_proba = predict_proba
        return clf

    return load


@pytest.mark.usefixtures("one_ray")
class TestWithRay:
    pytestmark = with_ray

    def test_no_row_is_lost_or_doubled_where_a_worker_is_killed(
        self, fitted: SentimentLoRA, saved: Path, reviews: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        own = ray_scoring.score_shards

        def with_a_kill(load: object, *rest: object, **how: object) -> None:
            own(killed_at(tmp_path, 3, str(saved)), *rest, **how)

        monkeypatch.setattr(predicting, "score_shards", with_a_kill)
        output = tmp_path / "scored"
        how = {"column": "text", "shard_rows": 20, "workers": 2, "verbose": False}
        assert predict_files(saved, reviews, output, **how) == ROWS
        assert (tmp_path / "killed").exists()
        found = pd.read_parquet(output)
        assert found["id"].tolist() == [str(row) for row in range(ROWS)]
        expected = predictions(fitted, found[["id", "text"]], "text")
        assert found["prediction"].tolist() == expected["prediction"].tolist()
        np.testing.assert_allclose(found["p_positive"], expected["p_positive"], atol=1e-5)
        left = sorted(path.name for path in output.iterdir() if not path.name.startswith("part-"))
        assert left == ["_sentlora.json"]

        # What is there is not scored again; what is gone is.
        monkeypatch.setattr(predicting, "score_shards", own)
        kept = (output / "part-000003.parquet").stat().st_mtime_ns
        (output / "_sentlora.json").write_text((output / "_sentlora.json").read_text().replace("true", "false"))
        (output / "part-000001.parquet").unlink()
        assert predict_files(saved, reviews, output, resume=True, **how) == ROWS
        assert (output / "part-000003.parquet").stat().st_mtime_ns == kept
        assert pd.read_parquet(output)["id"].tolist() == found["id"].tolist()

    def test_a_fault_in_a_file_comes_home_as_it_is(self, saved: Path, reviews: Path, tmp_path: Path) -> None:
        (reviews / "c.jsonl").write_text('{"id": 1, "text": null}\n')
        with pytest.raises(DataError, match=r"^In 'c\.jsonl': Expected a string in every row.* into strings\.$"):
            predict_files(saved, reviews, tmp_path / "scored", workers=2, verbose=False)
        assert not (tmp_path / "scored").exists()

    def test_another_adapter_at_a_worker_is_refused(
        self, saved: Path, reviews: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def load(place: str) -> SentimentLoRA:
            clf = SentimentLoRA.load(place, verbose=False)
            clf.threshold_ = 0.9
            return clf

        own = ray_scoring.score_shards
        swapped = lambda _, *rest, **how: own(partial(load, str(saved)), *rest, **how)  # noqa: E731
        monkeypatch.setattr(predicting, "score_shards", swapped)
        with pytest.raises(ConfigError, match=r"found another adapter under the same name\. .* that they share\.$"):
            predict_files(saved, reviews, tmp_path / "scored", workers=1, verbose=False)
