from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import BartConfig

from sentlora.data.prompts import Prompt
from sentlora.errors import ConfigError, LabelError
from sentlora.inference.predictor import Predictor, merge_in_place
from sentlora.labels import LabelMap
from sentlora.model.adapter import attach, lora_config
from sentlora.model.backbone import load_base
from sentlora.model.label_words import LabelWordsObjective
from sentlora.settings import Settings

PROMPT = Prompt("Is this good or bad:\n{text}")
TEXTS = ("a good film", "the plot was awful and dull", "", "fun " * 30, "very bad")
ONE_TOKEN = LabelMap(("negative", "positive"))
SEVERAL_TOKENS = LabelMap(("bad", "so so", "good"), words=("very bad", "neutral", "good"))
ONE_BEGINS_ANOTHER = LabelMap(("good", "very good"), words=("very", "very good"))
ALL_WORDS = pytest.mark.parametrize("labels", [ONE_TOKEN, SEVERAL_TOKENS, ONE_BEGINS_ANOTHER], ids=lambda m: m.words[0])


def objective_of(tokenizer: Any, model: Any, labels: LabelMap, **options: Any) -> LabelWordsObjective:
    return LabelWordsObjective(tokenizer, labels, PROMPT, model.config, **{"max_length": 60, **options})


def with_adapter(model: Any) -> Any:
    """Attach an adapter whose update is not zero."""
    adapted = attach(model, lora_config(model, Settings(targets="attention")))
    torch.manual_seed(1)
    for name, parameter in adapted.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.2)
    return adapted.eval()


def brute_force(model: Any, tokenizer: Any, rows: list[dict[str, list[int]]], labels: LabelMap) -> torch.Tensor:
    """Ask for the loss of every word after every prompt, one pair at a time."""
    ends = any(a != b and b.startswith(a) for a in labels.words for b in labels.words)
    table = []
    for row in rows:
        scores = []
        for word in labels.words:
            tokens = tokenizer(word, add_special_tokens=False)["input_ids"] + ([tokenizer.eos_token_id] if ends else [])
            loss = model(input_ids=torch.tensor([row["input_ids"]]), labels=torch.tensor([tokens])).loss
            scores.append(-loss * len(tokens))
        table.append(torch.stack(scores))
    return torch.stack(table)


@ALL_WORDS
@pytest.mark.parametrize("adapter", ["none", "attached", "merged"])
def test_scores_equal_a_loop_over_the_losses(seq2seq: Any, t5_tokenizer: Any, labels: LabelMap, adapter: str) -> None:
    model = seq2seq if adapter == "none" else with_adapter(seq2seq)
    objective = objective_of(t5_tokenizer, model, labels)
    rows = objective.encode(TEXTS)
    assert len({len(row["input_ids"]) for row in rows}) > 3, "the batch should hold rows of unequal lengths"
    with torch.inference_mode():
        expected = brute_force(model, t5_tokenizer, rows, labels)
        if adapter == "merged":
            merge_in_place(model)
        found = objective.scores(model, objective.collate(rows))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
    assert found.shape == (len(TEXTS), len(labels))


def test_an_adapter_changes_the_scores(seq2seq: Any, t5_tokenizer: Any) -> None:
    objective = objective_of(t5_tokenizer, seq2seq, SEVERAL_TOKENS)
    batch = objective.collate(objective.encode(TEXTS))
    with torch.inference_mode():
        before = objective.scores(seq2seq, batch)
        after = objective.scores(with_adapter(seq2seq), batch)
    assert (before - after).abs().max() > 1e-2


def test_length_normalization_divides_by_the_tokens_of_each_word(seq2seq: Any, t5_tokenizer: Any) -> None:
    plain = objective_of(t5_tokenizer, seq2seq, SEVERAL_TOKENS)
    divided = objective_of(t5_tokenizer, seq2seq, SEVERAL_TOKENS, length_normalization=True)
    batch = plain.collate(plain.encode(TEXTS))
    with torch.inference_mode():
        sums, means = plain.scores(seq2seq, batch), divided.scores(seq2seq, batch)
    torch.testing.assert_close(means, sums / torch.tensor([2, 2, 1]))


def test_the_encoder_runs_once_for_all_labels(seq2seq: Any, t5_tokenizer: Any) -> None:
    rows = []
    seq2seq.get_encoder().register_forward_hook(lambda module, args, output: rows.append(len(output[0])))
    objective = objective_of(t5_tokenizer, seq2seq, SEVERAL_TOKENS)
    with torch.inference_mode():
        objective.scores(seq2seq, objective.collate(objective.encode(TEXTS)))
    assert rows == [len(TEXTS)]


@pytest.mark.parametrize(("labels", "passes"), [(ONE_TOKEN, [(5, 1)]), (SEVERAL_TOKENS, [(5, 1), (10, 1)])])
def test_words_of_one_token_take_one_decoder_step(
    seq2seq: Any, t5_tokenizer: Any, labels: LabelMap, passes: list[tuple[int, int]]
) -> None:
    shapes = []
    seq2seq.get_decoder().register_forward_hook(lambda module, args, output: shapes.append(tuple(output[0].shape[:2])))
    objective = objective_of(t5_tokenizer, seq2seq, labels)
    with torch.inference_mode():
        objective.scores(seq2seq, objective.collate(objective.encode(TEXTS)))
    assert shapes == passes, "two words of two tokens need one more step, and the third none"


def test_states_computed_before_give_the_same_scores(seq2seq: Any, t5_tokenizer: Any) -> None:
    objective = objective_of(t5_tokenizer, seq2seq, SEVERAL_TOKENS)
    batch = objective.collate(objective.encode(TEXTS))
    with torch.inference_mode():
        encoded = objective.encoded(seq2seq, batch)
        assert "input_ids" not in encoded
        torch.testing.assert_close(objective.scores(seq2seq, encoded), objective.scores(seq2seq, batch))


def test_what_is_learned_is_the_whole_answer(t5_tokenizer: Any, tiny_seq2seq: Any) -> None:
    objective = objective_of(t5_tokenizer, tiny_seq2seq, SEVERAL_TOKENS)
    rows = [{**row, "labels": i} for row, i in zip(objective.encode(TEXTS[:3]), (2, 0, 1), strict=True)]
    batch = objective.collate(rows)
    good, very, bad = (t5_tokenizer.convert_tokens_to_ids(word) for word in ("▁good", "▁very", "▁bad"))
    assert batch["labels"][0].tolist() == [good, 1, -100]
    assert batch["labels"][1].tolist() == [very, bad, 1]
    assert batch["decoder_input_ids"][0].tolist() == [0, good, 1]
    assert batch["decoder_input_ids"][1].tolist() == [0, very, bad]
    assert objective.class_ids(batch["labels"]).tolist() == [2, 0, 1]
    with torch.inference_mode():
        ours = tiny_seq2seq(**batch).loss
        upstream = tiny_seq2seq(**{name: batch[name] for name in ("input_ids", "attention_mask", "labels")}).loss
    torch.testing.assert_close(ours, upstream)


def test_the_instruction_is_never_cut(t5_tokenizer: Any, tiny_seq2seq: Any) -> None:
    prompt = Prompt("Is this good or bad:\n{text}\nanswer:")
    before = t5_tokenizer("Is this good or bad:", add_special_tokens=False)["input_ids"]
    after = t5_tokenizer("answer:", add_special_tokens=False)["input_ids"]
    for truncation in ("head", "tail", "head-tail"):
        objective = LabelWordsObjective(
            t5_tokenizer, ONE_TOKEN, prompt, tiny_seq2seq.config, max_length=70, truncation=truncation
        )
        (row,) = objective.encode(["good bad film plot " * 50])
        assert len(row["input_ids"]) == 70
        assert row["input_ids"][: len(before)] == before
        assert row["input_ids"][-len(after) - 1 :] == [*after, t5_tokenizer.eos_token_id]


def test_a_prompt_in_parts_has_the_tokens_of_the_whole(t5_tokenizer: Any, tiny_seq2seq: Any) -> None:
    objective = objective_of(t5_tokenizer, tiny_seq2seq, ONE_TOKEN)
    (row,) = objective.encode(["a good film"])
    assert row["input_ids"] == t5_tokenizer(PROMPT.full("a good film"))["input_ids"]


def test_a_prompt_that_leaves_no_room_is_refused(t5_tokenizer: Any, tiny_seq2seq: Any) -> None:
    with pytest.raises(ConfigError, match=r"max_length=16 leaves \d+ tokens for the text: the prompt .* or shorten it"):
        objective_of(t5_tokenizer, tiny_seq2seq, ONE_TOKEN, max_length=16)


def test_words_with_the_same_tokens_are_refused(t5_tokenizer: Any, tiny_seq2seq: Any) -> None:
    labels = LabelMap(("a", "b"), words=("very good", "very\ngood"))
    with pytest.raises(LabelError, match=r"share all their tokens.*Give one of them another word"):
        objective_of(t5_tokenizer, tiny_seq2seq, labels)


def test_a_word_outside_the_vocabulary_is_refused(t5_tokenizer: Any, tiny_seq2seq: Any) -> None:
    labels = LabelMap(("bad", "good"), words=("bad", "好"))
    with pytest.raises(LabelError, match=r"'好' cannot be written with the vocabulary.*Give the label 'good' another"):
        objective_of(t5_tokenizer, tiny_seq2seq, labels)


def test_a_model_without_a_start_token_is_refused(t5_tokenizer: Any) -> None:
    config = BartConfig(decoder_start_token_id=None)
    with pytest.raises(ConfigError, match="no decoder_start_token_id"):
        LabelWordsObjective(t5_tokenizer, ONE_TOKEN, PROMPT, config, max_length=60)


def test_answers_that_are_no_label_are_invalid(
    t5_tokenizer: Any, tiny_seq2seq: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    objective = objective_of(t5_tokenizer, tiny_seq2seq, SEVERAL_TOKENS)
    written = ["good", " Very  bad", "NEUTRAL", "very good", "", "goodfilm"]
    tokens = t5_tokenizer(written, padding=True, return_tensors="pt")["input_ids"]
    monkeypatch.setattr(tiny_seq2seq, "generate", lambda **_: tokens)
    batch = objective.collate(objective.encode(["a"] * len(written)))
    assert objective.answers(tiny_seq2seq, batch).tolist() == [2, 0, 1, -1, -1, -1]


def test_labels_that_differ_in_case_alone_are_told_apart(
    t5_tokenizer: Any, tiny_seq2seq: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    objective = objective_of(t5_tokenizer, tiny_seq2seq, LabelMap(("Good", "good")))
    tokens = t5_tokenizer(["Good", "good", "GOOD"], padding=True, return_tensors="pt")["input_ids"]
    monkeypatch.setattr(tiny_seq2seq, "generate", lambda **_: tokens)
    assert objective.answers(tiny_seq2seq, objective.collate(objective.encode(["a"] * 3))).tolist() == [0, 1, 0]


@ALL_WORDS
def test_the_token_in_front_of_an_answer_is_given_and_not_scored(
    tiny_bart: str, bart_tokenizer: Any, labels: LabelMap
) -> None:
    """BART's answers begin with ``<s>``, which says nothing of the label."""
    model = load_base(tiny_bart, labels)
    objective = objective_of(bart_tokenizer, model, labels)
    rows = objective.encode(TEXTS)
    start, bos, eos = model.config.decoder_start_token_id, bart_tokenizer.bos_token_id, bart_tokenizer.eos_token_id
    ends = any(a != b and b.startswith(a) for a in labels.words for b in labels.words)
    expected = torch.zeros(len(TEXTS), len(labels))
    with torch.inference_mode():
        for i, row in enumerate(rows):
            for j, word in enumerate(labels.words):
                tokens = bart_tokenizer(word, add_special_tokens=False)["input_ids"] + ([eos] if ends else [])
                given = torch.tensor([[start, bos, *tokens[:-1]]])
                logits = model(input_ids=torch.tensor([row["input_ids"]]), decoder_input_ids=given).logits[0, 1:]
                expected[i, j] = logits.log_softmax(dim=-1)[range(len(tokens)), tokens].sum()
        found = objective.scores(model, objective.collate(rows))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


def test_what_is_learned_begins_with_the_token_in_front(tiny_bart: str, bart_tokenizer: Any) -> None:
    model = load_base(tiny_bart, SEVERAL_TOKENS)
    objective = objective_of(bart_tokenizer, model, SEVERAL_TOKENS)
    rows = [{**row, "labels": i} for row, i in zip(objective.encode(TEXTS[:2]), (2, 0), strict=True)]
    batch = objective.collate(rows)
    bos, good = bart_tokenizer.bos_token_id, bart_tokenizer.convert_tokens_to_ids("▁good")
    assert batch["labels"][0].tolist() == [bos, good, 1, -100]
    assert batch["decoder_input_ids"][0].tolist() == [1, bos, good, 1]
    assert objective.class_ids(batch["labels"]).tolist() == [2, 0]


def test_the_predictor_sorts_prompts_into_batches_of_a_number_of_tokens(seq2seq: Any, t5_tokenizer: Any) -> None:
    shapes: list[tuple[int, int]] = []
    seq2seq.get_encoder().register_forward_hook(lambda module, args, output: shapes.append(tuple(output[0].shape[:2])))
    objective = objective_of(t5_tokenizer, seq2seq, SEVERAL_TOKENS)
    texts = [f"{TEXTS[i % 5]} {'film ' * i}" for i in range(12)]
    found = Predictor(seq2seq, objective, tokens_per_batch=120).scores(texts)
    assert all(rows * width <= 120 for rows, width in shapes)
    assert [width for _, width in shapes] == sorted((width for _, width in shapes), reverse=True)
    assert len(shapes) < len(texts)
    with torch.inference_mode():
        alone = torch.cat([objective.scores(seq2seq, objective.collate([row])) for row in objective.encode(texts)])
    torch.testing.assert_close(torch.tensor(found), alone, rtol=0, atol=1e-4)
