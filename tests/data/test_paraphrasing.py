"""What a user's paraphraser may return."""

from __future__ import annotations

import re
from functools import partial
from typing import Any

import numpy as np
import pytest

from sentlora.data.paraphrasing import name_of, paraphrased
from sentlora.errors import DataError

TEXTS = [f"text {i}" for i in range(70)]


def test_it_is_called_in_batches_and_keeps_the_order() -> None:
    sizes: list[int] = []

    def paraphrase(texts: list[str]) -> np.ndarray:
        sizes.append(len(texts))
        texts.reverse()  # its own list, to do with as it likes
        return np.array([text.upper() for text in reversed(texts)])

    assert paraphrased(TEXTS, paraphrase, verbose=False) == [text.upper() for text in TEXTS]
    assert sizes == [32, 32, 6]
    assert paraphrased([], paraphrase, verbose=False) == []


@pytest.mark.parametrize(
    ("returned", "words"),
    [
        (lambda texts: texts[:-1], "it returned 31. Let it return one text for each, in the same order."),
        (lambda texts: "one text", "it returned 'one text' (str). Let it return a list of texts."),
        (lambda texts: None, "it returned None (NoneType). Let it return a list of texts."),
        (lambda texts: (text for text in texts), "(generator). Let it return a list of texts."),
        (lambda texts: [1] * len(texts), "for 'text 0' (str) it returned 1 (int). Let it return strings."),
        (lambda texts: [None] * len(texts), "for 'text 0' (str) it returned None (NoneType). Let it return strings."),
        (lambda texts: [*texts[:-1], " "], "for 'text 31' (str) it returned an empty one. Where it finds no other"),
    ],
)
def test_what_is_not_as_many_texts_is_refused(returned: Any, words: str) -> None:
    with pytest.raises(DataError, match=re.escape(words)) as error:
        paraphrased(TEXTS, returned, verbose=False)
    assert str(error.value).startswith(f"Expected 32 texts from {__name__}.<lambda>, one for each that it was given")


def test_its_own_errors_are_its_own() -> None:
    with pytest.raises(KeyError, match="model"):
        paraphrased(TEXTS, lambda texts: {}["model"], verbose=False)


class _Model:
    def __call__(self, texts: list[str]) -> list[str]:
        return texts


@pytest.mark.parametrize(
    ("given", "name"),
    [(paraphrased, "sentlora.data.paraphrasing.paraphrased"), (_Model(), f"{__name__}._Model")],
)
def test_the_name_is_that_of_the_function(given: Any, name: str) -> None:
    assert name_of(given) == name_of(partial(given, 1)) == name
