from __future__ import annotations

import copy
import json
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from sentlora.errors import ConfigError
from sentlora.model.encoding import TextEncoder, save_tokenizer, special_tokens

WORDS = ("film", "plot", "actor", "scene", "good", "bad", "awful", "music", "end")
BEFORE, AFTER = "good or bad:\n", "\nanswer:"
TRUNCATIONS = ("head", "tail", "head-tail")


def text_of(n: int) -> str:
    """Return a text of ``n`` tokens in which the place of a token can be told."""
    return " ".join(WORDS[(i * i + i // 7) % len(WORDS)] for i in range(n))


def plain(tokenizer: Any, text: str) -> list[int]:
    return tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]


def encode(tokenizer: Any, text: str, **options: Any) -> list[int]:
    (row,) = TextEncoder(tokenizer, **{"before": BEFORE, "after": AFTER, **options}).encode([text])
    assert set(row) == {"input_ids"}
    return row["input_ids"]


@pytest.fixture(params=["bert", "t5", "bart"])
def any_tokenizer(request: pytest.FixtureRequest, tokenizer: Any, t5_tokenizer: Any, bart_tokenizer: Any) -> Any:
    """Tokenizers with a special token on both sides, and with one behind the text only."""
    return {"bert": tokenizer, "t5": t5_tokenizer, "bart": bart_tokenizer}[request.param]


# --- what stands around a text ---------------------------------------------------------------


@pytest.mark.parametrize("truncation", TRUNCATIONS)
@pytest.mark.parametrize(("before", "after"), [(BEFORE, AFTER), (BEFORE, ""), ("", AFTER), ("", "")])
def test_a_text_that_fits_has_the_tokens_of_the_whole(
    any_tokenizer: Any, truncation: str, before: str, after: str
) -> None:
    for text in ("a good film", "bad", text_of(20)):
        found = encode(any_tokenizer, text, max_length=60, truncation=truncation, before=before, after=after)
        assert found == any_tokenizer(before + text + after)["input_ids"]


def test_a_space_before_the_text_goes_with_the_text() -> None:
    """Byte-level tokenizers keep a space with the word behind it."""
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    vocabulary = {token: i for i, token in enumerate(["<pad>", *sorted(alphabet), "Ġg", "Ġgo"])}
    core = Tokenizer(models.BPE(vocabulary, merges=[("Ġ", "g"), ("Ġg", "o")]))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    own = PreTrainedTokenizerFast(tokenizer_object=core, pad_token="<pad>")
    found = encode(own, "good", max_length=60, before="Is: ", after=" Yes?")
    assert found == own("Is: good Yes?")["input_ids"]


def test_a_text_of_nothing_is_still_asked_about(any_tokenizer: Any) -> None:
    leading, trailing = special_tokens(any_tokenizer)
    around = [*leading, *plain(any_tokenizer, BEFORE), *plain(any_tokenizer, AFTER), *trailing]
    assert encode(any_tokenizer, "", max_length=60) == around


def test_each_way_of_truncation_keeps_its_part_of_the_text(t5_tokenizer: Any) -> None:
    tokens = plain(t5_tokenizer, text_of(300))
    before, after = plain(t5_tokenizer, BEFORE), [*plain(t5_tokenizer, AFTER), t5_tokenizer.eos_token_id]
    room = 100 - len(before) - len(after)
    kept = {
        "head": tokens[:room],
        "tail": tokens[-room:],
        "head-tail": tokens[: round(room * 128 / 510)] + tokens[-(room - round(room * 128 / 510)) :],
    }
    for truncation, middle in kept.items():
        found = encode(t5_tokenizer, text_of(300), max_length=100, truncation=truncation)
        assert found == [*before, *middle, *after], truncation


@settings(deadline=None, max_examples=80)
@given(
    tokens=st.integers(0, 70),
    spare=st.integers(8, 50),
    truncation=st.sampled_from(TRUNCATIONS),
    before=st.lists(st.sampled_from(WORDS), max_size=6),
    after=st.lists(st.sampled_from(WORDS), max_size=6),
    kind=st.sampled_from(["bert", "t5", "bart"]),
)
def test_only_the_text_is_ever_cut(
    tokenizer: Any,
    t5_tokenizer: Any,
    bart_tokenizer: Any,
    tokens: int,
    spare: int,
    truncation: str,
    before: list[str],
    after: list[str],
    kind: str,
) -> None:
    own = {"bert": tokenizer, "t5": t5_tokenizer, "bart": bart_tokenizer}[kind]
    leading, trailing = special_tokens(own)
    head = [*leading, *plain(own, " ".join(before))]
    tail = [*plain(own, " ".join(after)), *trailing]
    max_length = len(head) + len(tail) + spare
    found = encode(
        own,
        text_of(tokens),
        max_length=max_length,
        truncation=truncation,
        before=" ".join(before),
        after=" ".join(after),
    )
    assert len(found) == min(max_length, len(head) + tokens + len(tail))
    assert found[: len(head)] == head
    assert found[len(found) - len(tail) :] == tail
    whole, inner = plain(own, text_of(tokens)), found[len(head) : len(found) - len(tail)]
    parts = (whole[:n] + whole[len(whole) - (len(inner) - n) :] for n in range(len(inner) + 1))
    assert inner in list(parts), "what stays is a beginning and an end of the text"


def test_the_token_that_ends_the_input_stands_once_behind_all(t5_tokenizer: Any) -> None:
    for text in ("good film", text_of(200)):
        found = encode(t5_tokenizer, text, max_length=60)
        assert found.count(t5_tokenizer.eos_token_id) == 1
        assert found[-1] == t5_tokenizer.eos_token_id


def test_many_texts_keep_their_order(t5_tokenizer: Any) -> None:
    encoder = TextEncoder(t5_tokenizer, max_length=40, before=BEFORE)
    around = len(plain(t5_tokenizer, BEFORE)) + 1
    rows = encoder.encode([text_of(i % 40) for i in range(2_345)])
    assert [len(row["input_ids"]) for row in rows] == [min(i % 40 + around, 40) for i in range(2_345)]
    assert encoder.encode([]) == []


class Counting:
    """A tokenizer that counts the characters that it is handed."""

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer, self.characters = tokenizer, 0

    def __call__(self, texts: Any, **options: Any) -> Any:
        self.characters += sum(map(len, [texts] if isinstance(texts, str) else texts))
        return self.tokenizer(texts, **options)


def test_the_instruction_is_tokenized_once_and_not_with_each_text(t5_tokenizer: Any) -> None:
    counting = Counting(t5_tokenizer)
    encoder = TextEncoder(counting, max_length=64, before=BEFORE * 3, after=AFTER)
    counting.characters = 0
    rows = encoder.encode(["good film"] * 1500)
    assert counting.characters == 1500 * len("good film")
    assert len(rows[0]["input_ids"]) > 20


def test_a_long_text_is_cut_without_a_warning(t5_tokenizer: Any, capsys: pytest.CaptureFixture) -> None:
    for truncation in TRUNCATIONS:
        encode(t5_tokenizer, text_of(2_000), max_length=40, truncation=truncation)
    captured = capsys.readouterr()
    assert captured.out + captured.err == ""


# --- too little room -------------------------------------------------------------------------


def test_eight_tokens_are_the_least_room_for_a_text(t5_tokenizer: Any) -> None:
    around = len(plain(t5_tokenizer, BEFORE)) + len(plain(t5_tokenizer, AFTER)) + 1
    words = (
        rf"^max_length={around + 7} leaves 7 tokens for the text: the prompt around it takes {around} with its special "
        rf"tokens\. Set max_length to {around + 8} or more, or shorten it\.$"
    )
    with pytest.raises(ConfigError, match=words):
        encode(t5_tokenizer, "good", max_length=around + 7)
    assert len(encode(t5_tokenizer, text_of(50), max_length=around + 8)) == around + 8


def test_no_room_at_all_is_told_as_none(t5_tokenizer: Any) -> None:
    with pytest.raises(ConfigError, match="max_length=4 leaves 0 tokens for the text"):
        encode(t5_tokenizer, "good", max_length=4)


def test_a_text_by_itself_may_be_cut_to_a_few_tokens(tokenizer: Any) -> None:
    assert len(encode(tokenizer, text_of(50), max_length=4, before="", after="")) == 4


# --- special tokens --------------------------------------------------------------------------


def test_the_special_tokens_of_a_tokenizer(tokenizer: Any, t5_tokenizer: Any, bart_tokenizer: Any) -> None:
    assert special_tokens(tokenizer) == ([2], [3])
    assert special_tokens(t5_tokenizer) == ([], [1])
    assert special_tokens(bart_tokenizer) == ([bart_tokenizer.bos_token_id], [1])


def test_a_tokenizer_without_special_tokens(t5_tokenizer: Any) -> None:
    bare = copy.deepcopy(t5_tokenizer)
    bare.backend_tokenizer.post_processor = processors.TemplateProcessing(single="$A", special_tokens=[])
    assert special_tokens(bare) == ([], [])
    assert encode(bare, "a good film", max_length=60) == plain(bare, BEFORE + "a good film" + AFTER)


# --- where a token stands --------------------------------------------------------------------


@pytest.mark.parametrize("truncation", TRUNCATIONS)
@pytest.mark.parametrize(("before", "after"), [(BEFORE, AFTER), ("Is: ", ""), ("", "")])
@pytest.mark.parametrize("n", [0, 3, 60])
def test_tokens_are_found_in_their_text(any_tokenizer: Any, truncation: str, before: str, after: str, n: int) -> None:
    text = text_of(n)
    encoder = TextEncoder(any_tokenizer, max_length=40, truncation=truncation, before=before, after=after)
    found = encoder.locate(text)
    assert {"input_ids": found.input_ids} == encoder.encode([text])[0]
    assert len(found.places) == len(found.input_ids)
    inside = [place for place in found.places if place is not None]
    words = [text[first:last].strip() for first, last in inside]
    kept = [i for i, place in enumerate(found.places) if place is not None]
    assert words == [any_tokenizer.decode([found.input_ids[i]]).strip() for i in kept]
    assert found.n_cut == n - len(inside)
    assert (found.cut is None) == (found.n_cut == 0) == (n < 60)
    if found.cut is not None:
        assert len(text[slice(*found.cut)].split()) == found.n_cut
        assert text[: found.cut[0]].split() + text[found.cut[1] :].split() == words


def test_places_are_those_of_the_characters_that_were_handed_in(any_tokenizer: Any) -> None:
    text = "A  GOOD\n film"
    places = [place for place in TextEncoder(any_tokenizer, max_length=60).locate(text).places if place is not None]
    # T5's tokenizers may have a token of the space in front of a word, which stands where the word begins.
    covered = {place for first, last in places for place in range(first, last) if not text[place].isspace()}
    assert covered == {place for place, character in enumerate(text) if not character.isspace()}


def test_threads_do_not_cut_each_others_texts(tokenizer: Any, tmp_path: Path) -> None:
    """A fast tokenizer holds the truncation of one call while another one works."""
    encoder = TextEncoder(tokenizer, max_length=16)
    texts = [text_of(n) for n in range(1, 40)] * 3
    expected = encoder.encode(texts)
    barrier = threading.Barrier(4)

    def wait_and_work(number: int) -> bool:
        barrier.wait()
        if number == 0:
            return all(encoder.encode(texts) == expected for _ in range(12))
        if number == 1:
            found = [encoder.locate(text) for _ in range(12) for text in texts[:39]]
            return [one.n_cut for one in found] == [max(0, n - 14) for n in range(1, 40)] * 12
        for _ in range(12):
            save_tokenizer(tokenizer, tmp_path / str(number))
            if json.loads((tmp_path / str(number) / "tokenizer.json").read_text())["truncation"] is not None:
                return False
        return True

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)  # so that they do get in each other's way
    try:
        with ThreadPoolExecutor(4) as pool:
            assert list(pool.map(wait_and_work, range(4))) == [True] * 4
    finally:
        sys.setswitchinterval(interval)
