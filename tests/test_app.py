"""The screen in a browser, from the side of programs: what it answers, what it refuses, what it lets nobody see."""

from __future__ import annotations

import copy
import importlib.util
import io
import json
import os
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from sentlora import SentimentLoRA, cli
from sentlora.errors import AdapterFolderError, ConfigError, DataError, MissingExtraError, NotFittedError

pytest.importorskip("gradio", reason='the screen needs gradio: pip install "sentlora[app]"')

import gradio as gr
import httpx
from gradio_client import Client
from gradio_client.exceptions import AppError

from sentlora.app import pages
from sentlora.app.guard import refuse_addresses
from sentlora.app.limits import Limits
from sentlora.app.service import ROWS_PER_TURN, Answer, Service
from sentlora.app.serving import check_address, read_report
from sentlora.app.uploads import FIELDS, guess_column, read_upload, spreadsheet_safe
from sentlora.data.prompts import Prompt

HOSTILE = "<img src=x onerror=alert(1)> good ${7*7} {{7*7}} <script>alert(2)</script>"
SHOP = "Rate this. Title: {title} Body: {body}"
NEEDS_CAPTUM = pytest.mark.skipif(importlib.util.find_spec("captum") is None, reason="needs captum")


@pytest.fixture(scope="module")
def screen(fitted: SentimentLoRA) -> Iterator[Any]:
    """A running screen with small limits."""
    found = fitted.demo(wait=False, max_chars=2000, max_file_mb=0.2, max_rows=500, queue=30)
    yield found
    found.close(verbose=False)


@pytest.fixture(scope="module")
def client(screen: Any) -> Client:
    return Client(screen.local_url, verbose=False)


@pytest.fixture
def service(fitted: SentimentLoRA) -> Service:
    return Service(fitted, Limits(max_chars=100, max_file_mb=0.1, max_rows=300))


def csv_of(folder: Path, name: str = "rows.csv", **columns: list[Any]) -> Path:
    pd.DataFrame(columns).to_csv(folder / name, index=False)
    return folder / name


# --- one text -----------------------------------------------------------------------------------------


def test_a_program_gets_the_label_and_its_probabilities(client: Client, fitted: SentimentLoRA) -> None:
    text = "the good film was great"
    found = client.predict(text, api_name="/predict")
    probabilities = fitted.predict_proba([text])[0]
    assert found["label"] == found["most_likely"] == "positive"
    assert found["probabilities"] == pytest.approx(dict(zip(fitted.labels_.names, probabilities, strict=True)))
    assert found["confidence"] == pytest.approx(max(probabilities))
    assert found["threshold"] is found["abstain_below"] is None


def test_threshold_and_abstention_are_kept_and_named(fitted: SentimentLoRA) -> None:
    clf = SentimentLoRA.__new__(SentimentLoRA)
    clf.__dict__.update(fitted.__dict__)
    text = "good bad film"
    share = float(clf.predict_proba([text])[0][1])
    clf.threshold_, clf._chosen = share + 1e-6, (share + 1e-6, "FPR <= 0.05")
    service = Service(clf, Limits())
    answer = service.answer(text)
    assert answer.label == "negative"
    assert answer.confidence == pytest.approx(1 - share)
    assert answer.threshold == clf.threshold_
    rule = pages.threshold_rule(clf)
    assert rule == f"positive is predicted from a probability of {clf.threshold_:.3f} on, chosen for FPR <= 0.05."
    unsure = service.answer(text, 1.0)
    assert (unsure.label, unsure.most_likely) == (None, "negative")
    page = pages.verdict(unsure, rule)
    assert "<b>Unsure</b>" in page
    assert f"negative at {1 - share:.1%}" in page
    assert "FPR &lt;= 0.05." in page
    assert "Below 100% no label is given." in page
    with pytest.raises(ConfigError, match="abstain_below must be a probability"):
        service.answer(text, 1.5)


def test_an_answer_that_is_no_label_is_called_so() -> None:
    page = pages.verdict(Answer(None, "positive", 0.7, {"positive": 0.7}, None, None), None)
    assert "<b>No label</b>" in page


def test_a_model_that_writes_its_answers_is_shown_as_well(fitted_t5: SentimentLoRA) -> None:
    clf = SentimentLoRA.__new__(SentimentLoRA)
    clf.__dict__.update(fitted_t5.__dict__)
    clf.decode, clf.threshold_ = "generate", 0.5
    answer = Service(clf, Limits()).answer("good great fun")
    assert answer.label in (None, *clf.labels_.names)
    assert answer.threshold is None
    assert pages.threshold_rule(clf) is None
    assert sum(answer.probabilities.values()) == pytest.approx(1)


def test_a_stopped_server_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    from sentlora.app import serving

    asked: dict[int, Any] = {}
    monkeypatch.setattr(serving.signal, "signal", lambda number, what: asked.update({number: what}))

    class Blocking:
        def block_thread(self) -> None:
            asked[serving.signal.SIGTERM]()

    with pytest.raises(KeyboardInterrupt):  # which gradio takes for Ctrl+C, and closes the server
        serving._wait(Blocking())  # type: ignore[arg-type]
    folder = Path(serving._private_folder())
    assert folder == Path(serving._private_folder())
    assert folder.is_dir()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "There is no text yet. Type one, or choose an example."),
        (" \n\t", "There is no text yet."),
        ("good " * 21, "The text has 105 characters; this screen takes up to 100. Shorten it, or put it into a file."),
        (7, "Expected a text, or a mapping of fields; found int."),
        ({"text": "good"}, "Expected a text; found fields. This classifier reads plain texts."),
    ],
)
def test_a_text_that_cannot_be_labelled_is_refused(service: Service, text: Any, message: str) -> None:
    with pytest.raises(DataError) as error:
        service.answer(text)
    assert message in str(error.value)


def test_a_text_of_two_megabytes_is_refused_in_words(client: Client) -> None:
    with pytest.raises(AppError, match=r"The text has 2,000,000 characters; this screen takes up to 2,000"):
        client.predict("x" * 2_000_000, api_name="/predict")


def test_the_name_of_a_file_is_a_text_like_any_other(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or a stranger could find out which files there are."""
    csv_of(tmp_path, "good.csv", text=["x"])
    monkeypatch.chdir(tmp_path)
    assert service.answer("good.csv").label in ("negative", "positive")


def test_a_text_may_be_made_of_fields(fitted: SentimentLoRA) -> None:
    clf = SentimentLoRA.__new__(SentimentLoRA)
    clf.__dict__.update(fitted.__dict__)
    clf.prompt_ = Prompt(SHOP)
    service = Service(clf, Limits(max_chars=30))
    assert service.fields == ("title", "body")
    answer = service.answer({"title": "good film", "body": "great fun"})
    assert list(answer.probabilities.values()) == pytest.approx(
        fitted.predict_proba(["Title: good film Body: great fun"])[0]
    )
    with pytest.raises(DataError, match="The text has 40 characters"):
        service.answer({"title": "x" * 20, "body": "y" * 20})
    screen = clf.demo(launch=False, examples=[{"title": "good"}])
    labels = [block.label for block in screen.blocks.values() if isinstance(block, gr.Textbox)]
    assert labels[:2] == ["title", "body"]
    described = screen.get_api_info()["named_endpoints"]["/predict"]
    assert [one["parameter_name"] for one in described["parameters"]] == ["fields", "abstain_below"]


@NEEDS_CAPTUM
def test_words_are_explained_for_programs(client: Client, fitted: SentimentLoRA) -> None:
    found = client.predict("the good dull film", "negative", api_name="/explain")
    expected = fitted.explain("the good dull film", "negative")
    assert found["label"] == "negative"
    assert [word["text"] for word in found["words"]] == [word.text for word in expected.words]
    assert [w["attribution"] for w in found["words"]] == pytest.approx(
        [w.attribution for w in expected.words], abs=1e-4
    )
    with pytest.raises(AppError, match=r"There is no label 'nagative' to explain; .* Did you mean 'negative'"):
        client.predict("good", "nagative", api_name="/explain")


def test_without_captum_there_is_a_word_and_no_button(fitted: SentimentLoRA, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> None:
        raise MissingExtraError("captum", "explain", "Explaining a prediction")

    monkeypatch.setattr("sentlora.app.tabs.require_captum", missing)
    screen = fitted.demo(launch=False)
    assert not [block for block in screen.blocks.values() if getattr(block, "elem_id", None) == "sl-explain"]
    shown = [str(block.value) for block in screen.blocks.values() if isinstance(block, gr.HTML)]
    assert any("pip install &quot;sentlora[explain]&quot;" in text for text in shown)


def test_many_callers_at_once_get_their_own_answers(client: Client, fitted: SentimentLoRA) -> None:
    texts = [f"{'good great' if i % 2 else 'bad awful'} film {'the ' * (i % 7)}" for i in range(16)]
    expected = fitted.predict_proba(texts)[:, 1]
    jobs = [client.submit(text, api_name="/predict") for text in texts]
    found = [job.result(timeout=60)["probabilities"]["positive"] for job in jobs]
    assert found == pytest.approx(expected.tolist(), abs=1e-5)


def test_a_single_text_does_not_wait_for_a_whole_file(service: Service, tmp_path: Path) -> None:
    path = csv_of(tmp_path, text=["a good film"] * (2 * ROWS_PER_TURN + 5))
    done: list[int] = []
    answered: list[int] = []
    caller = threading.Thread(target=lambda: (service.answer("bad"), answered.append(len(done))))

    def tick(rows: int, total: int) -> None:
        done.append(rows)
        if len(done) == 2:
            caller.start()
            while not service._next.locked() and caller.is_alive():
                pass

    service.score(path, tick=tick)
    caller.join()
    assert done == [0, ROWS_PER_TURN, 2 * ROWS_PER_TURN, 2 * ROWS_PER_TURN + 5]
    assert answered[0] < len(done)


def test_the_screen_shows_the_classifier_as_it_was(fitted: SentimentLoRA) -> None:
    clf = SentimentLoRA.__new__(SentimentLoRA)
    clf.__dict__.update(fitted.__dict__)
    service = Service(clf, Limits())
    before = service.answer("good film")
    clf.threshold_ = 0.999999
    assert service.answer("good film") == before
    assert clf.verbose == fitted.verbose


# --- a file -------------------------------------------------------------------------------------------


def test_a_file_comes_back_scored(client: Client, fitted: SentimentLoRA, held_out_reviews: pd.DataFrame) -> None:
    content = held_out_reviews[["text"]].assign(id=range(100)).to_csv(index=False)
    found = score(client, "reviews.csv", content.encode())
    assert found[0].endswith("reviews-scored.csv")
    table = pd.read_csv(found[0])
    assert list(table.columns) == ["text", "id", "prediction", "confidence", "p_negative", "p_positive"]
    assert table["text"].tolist() == held_out_reviews["text"].tolist()
    assert table["prediction"].tolist() == fitted.predict(held_out_reviews["text"]).tolist()
    np.testing.assert_allclose(
        table[["p_negative", "p_positive"]], fitted.predict_proba(held_out_reviews["text"]), atol=1e-5
    )
    assert "<b>100 rows</b>" in found[1]
    assert "The first 10 of 100 rows." in found[2]


def score(client: Client, name: str, content: bytes, *more: Any) -> Any:
    """Upload a file under any name, as a browser would, and score it."""
    url = f"{client.src}gradio_api/upload"
    path = httpx.post(url, files={"files": (name, io.BytesIO(content))}).raise_for_status().json()[0]
    return client.predict(
        {"path": path, "orig_name": name, "meta": {"_type": "gradio.FileData"}},
        *(more or (None,)),
        api_name="/score_file",
    )


@pytest.mark.parametrize(
    ("columns", "prompt", "choices", "guess"),
    [
        ({"id": ["1"], "Review": ["fine"], "note": ["x"]}, None, ["Review", "note"], "Review"),
        ({"a": ["fine"], "b": ["x"]}, None, ["a", "b"], None),
        ({"title": ["fine"], "body": ["x"]}, Prompt(SHOP), [FIELDS, "title", "body"], FIELDS),
        ({"text": ["1"]}, Prompt("Rate: {text}"), ["text"], "text"),
        ({"n": ["1"]}, None, [], None),
    ],
)
def test_the_column_of_the_texts_is_guessed(
    columns: dict[str, list[str]], prompt: Prompt | None, choices: list[str], guess: str | None
) -> None:
    assert guess_column(pd.DataFrame(columns), prompt) == (choices, guess)


def test_a_file_of_fields_is_scored_by_its_fields(fitted: SentimentLoRA, tmp_path: Path) -> None:
    clf = SentimentLoRA.__new__(SentimentLoRA)
    clf.__dict__.update(fitted.__dict__)
    clf.prompt_ = Prompt(SHOP)
    path = csv_of(tmp_path, title=["good", "bad"], body=["great fun", "dull"])
    service = Service(clf, Limits())
    expected = fitted.predict_proba(["Title: good Body: great fun", "Title: bad Body: dull"])
    for column in (None, FIELDS):
        scored = service.score(path, column)
        np.testing.assert_allclose(scored[["p_negative", "p_positive"]], expected, atol=1e-6)
    np.testing.assert_allclose(
        service.score(path, "body")["p_positive"], fitted.predict_proba(["great fun", "dull"])[:, 1]
    )


@pytest.mark.parametrize("suffix", [".tsv", ".jsonl", ".parquet"])
def test_other_kinds_of_files_are_scored(service: Service, tmp_path: Path, suffix: str) -> None:
    path, rows = tmp_path / f"rows{suffix}", pd.DataFrame({"text": ["good fun", "bad"], "id": [7, 8]})
    if suffix == ".tsv":
        rows.to_csv(path, sep="\t", index=False)
    elif suffix == ".jsonl":
        rows.to_json(path, orient="records", lines=True)
    else:
        rows.to_parquet(path)
    assert service.score(path)["prediction"].tolist() == ["positive", "negative"]


def test_a_fault_is_named_with_its_row_in_the_file(service: Service, tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    rows = [{"text": "good"}] * (ROWS_PER_TURN + 3) + [{"text": None}]
    path.write_text("\n".join(map(json.dumps, rows)))
    with pytest.raises(DataError, match=rf"row {ROWS_PER_TURN + 3} \(rows count from 0\)"):
        service.score(path)


def test_files_that_are_no_use_are_refused_in_words(service: Service, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"No column of 'rows.csv' stands out as texts. Choose one of \['a', 'b'\]"):
        service.score(csv_of(tmp_path, a=["fine"], b=["x"]))
    with pytest.raises(DataError, match=r"There is no column 'texxt'.* Did you mean 'text'"):
        service.score(csv_of(tmp_path, text=["fine"]), "texxt")
    with pytest.raises(DataError, match="'confidence' of the file would be overwritten"):
        service.score(csv_of(tmp_path, text=["fine"], confidence=["x"]))
    with pytest.raises(DataError, match=r"'rows.csv' has column names and no rows"):
        (tmp_path / "rows.csv").write_text("text\n")
        service.score(tmp_path / "rows.csv")
    with pytest.raises(DataError, match=r"uploads are deleted after half an hour. Upload it again"):
        service.score(tmp_path / "gone.csv")
    with pytest.raises(DataError, match=r"Expected a file that ends in .csv, .tsv, .jsonl, .parquet; found 'x.xlsx'"):
        service.score(tmp_path / "x.xlsx")


def test_files_that_are_too_large_are_refused_before_they_are_read(service: Service, tmp_path: Path) -> None:
    limits = service.limits
    with pytest.raises(DataError, match=r"The file has 301 rows; this screen takes up to 300. Split it, or score it"):
        read_upload(csv_of(tmp_path, text=["x"] * 301), limits)
    with pytest.raises(DataError, match=r"The file has 0.2 MB; this screen takes up to 0.1 MB"):
        read_upload(csv_of(tmp_path, text=["x" * 200_000]), limits)
    wide = tmp_path / "wide.csv"
    wide.write_text(",".join(f"c{i}" for i in range(201)) + "\n")
    with pytest.raises(DataError, match="The file has 201 columns; this screen takes up to 200"):
        read_upload(wide, limits)
    keys = tmp_path / "keys.jsonl"
    keys.write_text("\n".join(json.dumps({f"k{i}": 1}) for i in range(201)))
    with pytest.raises(DataError, match="The file has 201 columns"):
        read_upload(keys, limits)


def test_a_small_parquet_file_of_huge_texts_is_refused(tmp_path: Path, service: Service) -> None:
    path = tmp_path / "bomb.parquet"
    pq.write_table(pa.table({"text": ["x" * 100_000] * 300}), path)
    assert path.stat().st_size < service.limits.max_file_bytes
    with pytest.raises(DataError, match=r"take more than 2 MB once they are unpacked"):
        read_upload(path, service.limits)
    pq.write_table(pa.table({"text": ["x"] * 301}), path)
    with pytest.raises(DataError, match="The file has 301 rows"):
        read_upload(path, service.limits)


def test_formulas_are_defused_and_numbers_are_not(client: Client) -> None:
    cells = ["=HYPERLINK(1)", "+1 for the music", "-5", "@home", "\tgood", "a = b", "\uff1d1"]
    content = pd.DataFrame({"text": cells, "-note": ["x"] * 7}).to_csv(index=False).encode()
    table = pd.read_csv(score(client, "rows.csv", content)[0], dtype=str)
    assert table["text"].tolist() == [
        "'=HYPERLINK(1)",
        "'+1 for the music",
        "-5",
        "'@home",
        "'\tgood",
        "a = b",
        "'\uff1d1",
    ]
    assert table.columns[1] == "'-note"
    found = score(client, "rows.csv", content, "text", 0, False)
    assert pd.read_csv(found[0], dtype=str)["text"].tolist() == cells
    rows = pd.DataFrame({"text": cells})
    assert spreadsheet_safe(rows)[1] == 5
    assert rows["text"].tolist() == cells


def test_words_of_strangers_are_only_words(client: Client) -> None:
    content = pd.DataFrame({"text": [HOSTILE, "bad"], HOSTILE: ["a", "b"]}).to_csv(index=False).encode()
    found = score(client, "<img src=x onerror=alert(3)>.csv", content)
    for page in found[1:]:
        assert "<img" not in page
        assert "<script" not in page
    assert "&lt;script&gt;alert(2)&lt;/script&gt;" in found[2]
    with pytest.raises(AppError) as error:
        score(client, "rows.csv", content, "<img src=x>")
    assert "There is no column &apos;&lt;img" in str(error.value).replace("'", "&apos;")
    assert "<img" not in str(error.value)


def test_what_is_uploaded_has_no_say_in_where_it_lies(client: Client, screen: Any) -> None:
    uploads = Path(screen.app.uploaded_file_dir)
    for name in ("../../../tmp/evil.csv", "..\\..\\evil.csv", "/etc/evil.csv", "%2e%2e%2fevil.csv", "a\x00b.csv"):
        path = httpx.post(f"{client.src}gradio_api/upload", files={"files": (name, io.BytesIO(b"text\ngood\n"))}).json()
        if isinstance(path, list):
            assert Path(path[0]).resolve().is_relative_to(uploads.resolve())
    found = score(client, "../../../../tmp/evil.csv", b"text\ngood\n")
    assert Path(found[0]).name == "evil-scored.csv"
    assert not Path("/tmp/evil.csv").exists()
    assert not Path("/etc/evil.csv").exists()


def test_uploads_lie_where_nobody_else_reads_and_are_deleted(screen: Any, client: Client) -> None:
    uploads = Path(screen.app.uploaded_file_dir)
    if os.name == "posix":
        assert stat.S_IMODE(uploads.stat().st_mode) == 0o700
    assert screen.delete_cache == (60, 1800)
    score(client, "mine.csv", b"text\ngood mine\n")
    assert list(uploads.rglob("mine*.csv"))
    from gradio.route_utils import delete_files_created_by_app

    delete_files_created_by_app(screen, 1800)
    assert list(uploads.rglob("mine*.csv"))
    delete_files_created_by_app(screen, None)
    assert not list(uploads.rglob("mine*.csv"))


# --- what nobody gets -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd",
        "/etc/../etc/passwd",
        "%2Fetc%2Fpasswd",
        "%252Fetc%252Fpasswd",
        "../../../../../../etc/passwd",
        "..%2f..%2f..%2f..%2fetc%2fpasswd",
        "{cwd}/pyproject.toml",
        "{uploads}/../../etc/passwd",
        "file:///etc/passwd",
        "http://127.0.0.1:1/",
        "https://example.org/",
        "%68ttps://example.org/",
        "%2568ttps://example.org/",
    ],
)
@pytest.mark.parametrize("route", ["gradio_api/file=", "file="])
def test_no_file_of_the_machine_is_read(screen: Any, route: str, path: str) -> None:
    path = path.format(cwd=Path.cwd(), uploads=screen.app.uploaded_file_dir)
    answer = httpx.get(f"{screen.local_url}{route}{path}")
    assert answer.status_code in (403, 404)
    assert "root:" not in answer.text
    if "ttp" in path:  # refused by us, before gradio looks for the host
        assert answer.text == "Not allowed."


@pytest.mark.parametrize(
    "path",
    [
        "gradio_api/proxy=https://example.org/",
        "gradio_api/deep_link?session_hash=x",
        "gradio_api/run-history/buckets",
        "gradio_api/stream/../../etc/passwd",
        "static/../../../../etc/passwd",
        "assets/%2e%2e/%2e%2e/%2e%2e/%2e%2e/etc/passwd",
        "svelte/..%2f..%2f..%2fetc%2fpasswd",
    ],
)
def test_other_ways_out_are_closed(screen: Any, path: str) -> None:
    answer = httpx.get(f"{screen.local_url}{path}")
    assert answer.status_code in (403, 404)
    assert "root:" not in answer.text


def called(screen: Any, name: str, *data: Any) -> str:
    """Call a function without gradio's client, which would upload what it is given, and return the events."""
    route = f"{screen.local_url}gradio_api/call/{name}"
    event = httpx.post(route, json={"data": list(data)}).raise_for_status().json()["event_id"]
    return httpx.get(f"{route}/{event}").text


def test_a_file_that_was_not_uploaded_is_not_scored(screen: Any, client: Client, tmp_path: Path) -> None:
    own = csv_of(tmp_path, text=["good"])
    uploads = screen.app.uploaded_file_dir
    for path in (str(own), "/etc/passwd", f"{uploads}/../../etc/passwd", "https://example.org/rows.csv"):
        for marked in ({"path": path, "meta": {"_type": "gradio.FileData"}}, {"path": path}):
            events = called(screen, "score_file", marked, None, 0, True)
            assert "event: error" in events
            assert "event: complete" not in events
            if path.startswith("http") and "meta" in marked:
                assert "none is fetched from an address" in events
    upload = httpx.post(f"{client.src}gradio_api/upload", files={"files": ("a.csv", own.read_bytes())}).json()[0]
    uploaded = {"path": upload, "meta": {"_type": "gradio.FileData"}}
    assert "event: complete" in called(screen, "score_file", uploaded, None, 0, True)


def test_a_file_is_never_named_by_an_address() -> None:
    marked = {"path": "https://example.org/a.csv", "meta": {"_type": "gradio.FileData"}}
    for value in ([marked], {"fields": [marked]}, [[{"value": marked}]]):
        with pytest.raises(DataError, match=r"A file has to be uploaded; none is fetched from an address."):
            refuse_addresses(value)
    refuse_addresses(["see https://example.org", {"path": "https://example.org is a field of its own"}, None])


def test_requests_that_are_too_large_are_cut_off(screen: Any, client: Client) -> None:
    upload = f"{client.src}gradio_api/upload"
    large = httpx.post(upload, files={"files": ("a.csv", io.BytesIO(b"x" * 50_000_000))})
    assert large.status_code == 413
    assert large.text == "The request is larger than 1.2 MB, which is the most it may be."
    over = httpx.post(upload, files={"files": ("a.csv", io.BytesIO(b"x" * 300_000))})
    assert over.status_code == 413
    join = f"{client.src}gradio_api/queue/join"
    assert httpx.post(join, content=b"x" * 9_000_000).status_code == 413

    def drip() -> Iterator[bytes]:
        for _ in range(100):
            yield b"x" * 100_000

    try:
        answer = httpx.post(join, content=drip())
    except httpx.HTTPError:
        return
    assert answer.status_code >= 400


def join(screen: Any, data: list[Any], session: str, function: int | None = None) -> httpx.Response:
    """Stand in the queue as the page does."""
    if function is None:
        (function,) = [i for i, one in screen.fns.items() if one.api_name == "predict"]
    body = {"data": data, "fn_index": function, "session_hash": session}
    return httpx.post(f"{screen.local_url}gradio_api/queue/join", json=body)


def answer_in(screen: Any, session: str) -> dict[str, Any]:
    """Read what the queue says until it has said all, and return the last word of a call."""
    told = httpx.get(f"{screen.local_url}gradio_api/queue/data?session_hash={session}", timeout=60).text
    messages = [json.loads(line[6:]) for line in told.splitlines() if line.startswith("data: ")]
    return next(one for one in reversed(messages) if one["msg"] in ("process_completed", "unexpected_error"))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ([], "Expected 2 values that fit the function"),
        (["good", 7], "abstain_below must be a probability"),
        (["good", "often"], "abstain_below must be a probability"),
        ([" ", 0], "There is no text yet"),
    ],
)
def test_values_that_do_not_fit_are_told_and_fill_no_log(
    screen: Any, capfd: pytest.CaptureFixture[str], data: list[Any], words: str
) -> None:
    assert join(screen, data, "odd").status_code == 200
    said = answer_in(screen, "odd")
    assert said["success"] is False
    assert words in said["output"]["error"]
    assert "Traceback" not in "".join(capfd.readouterr())


@pytest.mark.parametrize(
    ("below", "words"),
    [
        (7, "Value 7 is greater than maximum value 1"),
        ("often", "Expected 2 values that fit the function (Text, Give no"),
    ],
)
def test_values_that_the_page_never_sends_are_told_and_fill_no_log(
    screen: Any, capfd: pytest.CaptureFixture[str], below: Any, words: str
) -> None:
    button = next(i for i, one in screen.fns.items() if one.inputs and isinstance(one.inputs[-1], gr.Slider))
    assert join(screen, ["good", below], "page", button).status_code == 200
    said = answer_in(screen, "page")
    assert said["success"] is False
    assert words in said["output"]["error"]
    assert "Traceback" not in "".join(capfd.readouterr())


def test_what_is_not_there_is_told_and_fills_no_log(screen: Any, capfd: pytest.CaptureFixture[str]) -> None:
    for number in (-1, 9999):
        answer = join(screen, ["good", 0], "tab", number)
        assert (answer.status_code, answer.text) == (404, "There is no such function.")
    assert answer_in(screen, "no-such-session")["session_not_found"] is True
    assert "Traceback" not in "".join(capfd.readouterr())


def test_a_full_queue_says_so_and_those_in_it_are_served(screen: Any, fitted: SentimentLoRA) -> None:
    text = "good awful film"
    with screen.service.turn():  # nobody is answered meanwhile
        answers = [join(screen, [text, 0], f"tab{i}") for i in range(30 + 4 + 3)]
    codes = [answer.status_code for answer in answers]
    waiting = codes.index(503)
    assert 30 <= waiting <= 34
    assert codes == [200] * waiting + [503] * (len(codes) - waiting)
    assert answers[-1].json() == {"detail": "Queue is full. Max size is 30 and size is 30."}
    share = fitted.predict_proba([text])[0][1]
    for i in range(waiting):
        found = answer_in(screen, f"tab{i}")["output"]["data"][0]
        assert found["probabilities"]["positive"] == pytest.approx(share, abs=1e-5)


def test_the_page_may_load_nothing_from_elsewhere(screen: Any) -> None:
    answer = httpx.get(screen.local_url)
    policy = answer.headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "http" not in policy
    assert "*" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    theme = httpx.get(f"{screen.local_url}theme.css").text
    assert "@import" not in theme
    assert "googleapis" not in theme
    assert os.environ["GRADIO_ANALYTICS_ENABLED"] == "False"
    assert screen.analytics_enabled is False


def test_the_queue_and_the_limits_are_those_asked_for(screen: Any, fitted: SentimentLoRA) -> None:
    assert screen._queue.max_size == 30
    assert screen.max_file_size == 200_000
    assert screen.allowed_paths == []
    assert screen.local_url.startswith("http://127.0.0.1:")
    assert screen.share_url is None
    for wrong in ({"max_chars": 0}, {"queue": True}, {"max_rows": 1.5}, {"max_file_mb": float("nan")}):
        with pytest.raises(ConfigError, match=next(iter(wrong))):
            fitted.demo(launch=False, **wrong)  # type: ignore[arg-type]


def test_only_the_functions_for_programs_are_offered(client: Client) -> None:
    named = client.view_api(return_format="dict")["named_endpoints"]
    assert sorted(named) == ["/explain", "/predict", "/score_file"]


def test_a_fault_of_our_own_shows_nothing_of_the_inside(
    screen: Any, client: Client, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*args: Any) -> None:
        raise RuntimeError("the secret of /home/me")

    monkeypatch.setattr(screen.service, "answer", broken)
    with pytest.raises(AppError) as error:
        client.predict("good", api_name="/predict")
    assert "secret" not in str(error.value)
    monkeypatch.undo()
    capsys.readouterr()
    with pytest.raises(AppError, match="There is no text yet"):
        client.predict("", api_name="/predict")
    assert "Traceback" not in capsys.readouterr().err


# --- the report, and how it is opened -------------------------------------------------------------------


def test_the_report_says_what_was_trained_and_measured(fitted: SentimentLoRA) -> None:
    page = pages.about(fitted)
    assert fitted.validation_ is not None
    assert f"<td>{fitted.validation_['accuracy']:.4f}</td>" in page
    assert page.count("<td>0.") >= len(fitted.history_)
    assert f"{fitted.trainable_parameters.trainable:,} of " in page
    assert "<th scope=row>learning_rate</th><td>0.003</td>" in page
    assert "Marked: the epoch whose weights were kept." in page
    clf = SentimentLoRA.__new__(SentimentLoRA)
    clf.__dict__.update(fitted.__dict__)
    clf.trained_on_, clf.evaluations_ = HOSTILE, {HOSTILE: {"accuracy": 0.5}}
    page = pages.about(clf) + pages.heading(clf)
    assert "<img" not in page
    assert "<script" not in page
    assert "<td>0.5000</td>" in page


def test_a_report_can_run_and_reach_nothing() -> None:
    page = pages.frame('<p class="x">A</p></iframe><script>alert(1)</script>')
    assert page.startswith('<iframe class="sl-page" sandbox=""')
    assert page.count("<") == 2
    assert 'srcdoc="&lt;p class=&quot;x&quot;' in page


def test_what_cannot_be_opened_is_told_before_anything_starts(
    tiny_bert: str, fitted: SentimentLoRA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, screen: Any
) -> None:
    with pytest.raises(NotFittedError):
        SentimentLoRA(tiny_bert).demo()
    with pytest.raises(ConfigError, match=r"The report '.*none.html' cannot be read"):
        fitted.demo(launch=False, report=tmp_path / "none.html")
    with pytest.raises(ConfigError, match=r"Expected a report that ends in .html, .* found 'a.pdf'"):
        read_report("a.pdf")
    with pytest.raises(ConfigError, match=r"The port must be a whole number from 1 to 65,535, such as 7860; found 0"):
        check_address("127.0.0.1", 0)
    with pytest.raises(ConfigError, match=r"The host must be a name or an address such as 127.0.0.1; found 'http://x'"):
        check_address("http://x", 80)
    with pytest.raises(ConfigError, match=r"Nothing can listen at 127.0.0.1, port \d+: it is taken"):
        fitted.demo(port=screen.server_port, wait=False)
    monkeypatch.setattr("sentlora.app.serving.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"The screen in a browser needs the package 'gradio'.*sentlora\[app\]"):
        fitted.demo(launch=False)


def test_a_screen_that_is_not_started_has_safe_defaults(fitted: SentimentLoRA, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, Any] = {}
    monkeypatch.setattr(gr.Blocks, "launch", lambda self, **kwargs: asked.update(kwargs))
    fitted.demo(launch=False, max_file_mb=3).launch(server_port=1234)
    assert asked["server_name"] == "127.0.0.1"
    assert asked["server_port"] == 1234
    assert asked["share"] is asked["show_error"] is asked["mcp_server"] is asked["run_history"] is False
    assert asked["max_file_size"] == 3_000_000


def test_the_command_opens_what_it_was_asked_for(saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, Any] = {}
    monkeypatch.setattr("sentlora.app.serving.serve", lambda clf, **kwargs: asked.update(kwargs, clf=clf))
    report = tmp_path / "report.html"
    report.write_text("<p>fine</p>")
    options = ["--port", "7999", "--max-chars", "50", "--max-file-mb", "2.5", "--queue", "3", "--report", str(report)]
    CliRunner().invoke(cli.app, ["app", str(saved), "-q", *options], catch_exceptions=False)
    assert asked["host"] == "127.0.0.1"
    assert asked["port"] == 7999
    assert asked["share"] is False
    assert asked["limits"] == Limits(50, 2.5, 20_000, 3)
    assert asked["report"] == report
    assert asked["clf"].classes_.tolist() == ["negative", "positive"]
    with pytest.raises(AdapterFolderError):
        CliRunner().invoke(cli.app, ["app", str(tmp_path / "nothing")], catch_exceptions=False)
    with pytest.raises(ConfigError, match="max_chars"):
        CliRunner().invoke(cli.app, ["app", str(saved), "--max-chars", "0"], catch_exceptions=False)


def test_nothing_but_the_screen_loads_gradio() -> None:
    code = "import sys, sentlora, sentlora.cli; print(*({'gradio', 'sentlora.app', 'torch'} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split() == []


def test_a_graph_is_not_asked_for_words(fitted: SentimentLoRA, monkeypatch: pytest.MonkeyPatch) -> None:
    graph = copy.copy(fitted)
    graph._exported = "onnx"
    screen = graph.demo(launch=False)
    assert not [block for block in screen.blocks.values() if getattr(block, "elem_id", None) == "sl-explain"]
    shown = [str(block.value) for block in screen.blocks.values() if isinstance(block, gr.HTML)]
    assert any("is read from gradients, and an ONNX graph has none." in text for text in shown)
