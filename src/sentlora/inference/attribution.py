"""How much each token of a text adds to the score of a label: integrated gradients over the input embeddings.

Sundararajan, Taly and Yan 2017, arXiv:1703.01365, computed by captum. What is explained is the log-odds of a label
against all others, log(p / (1 - p)) with p as ``predict_proba`` gives it: for two labels the difference of their
logits, over the temperature. The path leads from a baseline, in which every token of the text is padding, to the text
itself. Special tokens, and the instruction of a text-to-text model, are the same at both ends, so nothing falls to
them: the question is what the text adds once the model is asked. The number of tokens is the same at both ends, too.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from sentlora.data.text import nearest
from sentlora.errors import ConfigError, LabelError, MissingExtraError
from sentlora.inference.completeness import NEXT_TO_NOTHING, completeness_error, is_rough
from sentlora.inference.predictor import merge_in_place
from sentlora.labels import LabelMap
from sentlora.model.architectures import base_of
from sentlora.model.objective import LocatedTokens, Objective
from sentlora.model.quantization import is_quantized

DEFAULT_STEPS = 32
_MORE = 4
_MOST_STEPS = 2000
# Every step keeps its activations for the backward pass, so a GPU takes less than in prediction.
_TOKENS_PER_BATCH = {"cpu": 1024}
_TOKENS_PER_BATCH_ACCELERATOR = 4096


@dataclass(frozen=True, eq=False)
class Attribution:
    """What each token adds to the log-odds of a label.

    Attributes:
        tokens: The tokens of the input, and where they stand in the text.
        values: What each adds, float64, shape (n_tokens,); 0 for what stands around the text.
        score: The log-odds of the label.
        baseline_score: The same with padding in place of the text.
        steps: Points of the path at which gradients were taken.
    """

    tokens: LocatedTokens
    values: np.ndarray
    score: float
    baseline_score: float
    steps: int

    @property
    def completeness_error(self) -> float:
        """How far the sum of the values is from the difference of the two scores, which it is in the limit."""
        return completeness_error(self.values, self.score - self.baseline_score)

    @property
    def is_rough(self) -> bool:
        """Whether more steps are called for."""
        return is_rough(self.completeness_error, self.score - self.baseline_score)


def require_captum() -> None:
    """Tell which extra is missing, where there is no captum.

    Raises:
        MissingExtraError: If it is not installed.
    """
    if importlib.util.find_spec("captum") is None:
        raise MissingExtraError("captum", "explain", "Explaining a prediction")


def check_steps(steps: int | None) -> None:
    """Refuse what is no number of steps.

    Raises:
        ConfigError: If it is neither None nor a whole number from 1 to 2,000.
    """
    whole = isinstance(steps, int | np.integer) and not isinstance(steps, bool)
    if steps is not None and not (whole and 1 <= steps <= _MOST_STEPS):
        raise ConfigError(
            f"steps must be a whole number from 1 to {_MOST_STEPS:,}, such as {DEFAULT_STEPS}; found {steps!r}."
        )


def label_id(labels: LabelMap, label: Any) -> int:
    """Return the id of the label that is to be explained.

    Args:
        labels: The classes.
        label: A class in any way in which the data may name it.

    Raises:
        LabelError: If there is no such label.

    Examples:
        >>> label_id(LabelMap(("negative", "positive")), "positive")
        1
    """
    try:
        return int(labels.encode([label])[0])
    except LabelError:
        near = nearest(label, labels.names) if isinstance(label, str) else None
        hint = "" if near is None else f" Did you mean {near!r}?"
        raise LabelError(
            f"There is no label {label!r} to explain; the labels are {', '.join(labels.names)}.{hint}"
        ) from None


def log_odds(scores: torch.Tensor, label: int) -> torch.Tensor:
    """Return the log-odds of a label against all others, shape (batch,).

    Args:
        scores: Logits, or log-likelihoods, shape (batch, labels).
        label: The id of the label.

    Examples:
        >>> log_odds(torch.tensor([[1.0, 3.0]]), 1).tolist()
        [2.0]
    """
    others = torch.cat([scores[:, :label], scores[:, label + 1 :]], dim=1)
    return scores[:, label] - others.logsumexp(dim=1)


def attribute(
    model: Any,
    objective: Objective,
    text: str,
    label: int,
    *,
    temperature: float = 1.0,
    steps: int | None = None,
    tokens_per_batch: int | None = None,
) -> Attribution:
    """Share the log-odds of a label out among the tokens of a text.

    Args:
        model: A PeftModel, whose adapter is merged in place, or a plain transformers model.
        objective: Encodes and scores.
        text: The text.
        label: The id of the label.
        temperature: Divides the scores first, as in ``predict_proba``.
        steps: Points of the path, of the Gauss-Legendre rule. None takes 32, and where the result is rough, once more
            four times as many.
        tokens_per_batch: Tokens of one forward and backward pass, for a text of few tokens several steps at a time;
            None chooses by device. A single step is never split.

    Returns:
        The attribution.

    Raises:
        MissingExtraError: If captum is not installed.
        ConfigError: If the model is held in 8 bits, or reads more of its tokens than their embeddings.
    """
    require_captum()
    _refuse_8bit(model)
    merge_in_place(model)
    model.eval()
    tokens = objective.locate(text)
    # Whatever the caller has switched off, this needs gradients.
    with torch.inference_mode(False), torch.enable_grad():
        path = _Path(model, objective, tokens, label, temperature)
        path.check_end()
        budget = _budget(path.device, objective) if tokens_per_batch is None else tokens_per_batch
        found = path.integrate(DEFAULT_STEPS if steps is None else steps, budget)
        if steps is None and found.is_rough:
            found = min(found, path.integrate(_MORE * DEFAULT_STEPS, budget), key=lambda one: one.completeness_error)
    return found


def _refuse_8bit(model: Any) -> None:
    if is_quantized(model) and any(type(weight).__name__ == "Int8Params" for weight in model.parameters()):
        raise ConfigError(
            "A model in 8 bits rounds its activations too, so its score moves in jumps and has no gradient that "
            "leads from one text to another. Load it in full precision: SentimentLoRA.load(folder, "
            "full_precision=True)."
        )


def _budget(device: torch.device, objective: Objective) -> int:
    return _TOKENS_PER_BATCH.get(device.type, _TOKENS_PER_BATCH_ACCELERATOR // objective.copies)


class _Path:
    """The straight way from the baseline to a text in the space of embeddings, and the log-odds along it."""

    def __init__(self, model: Any, objective: Objective, tokens: LocatedTokens, label: int, temperature: float) -> None:
        self.device = next(model.parameters()).device
        self._model, self._objective = model, objective
        self._tokens, self._label, self._temperature = tokens, label, temperature
        batch = objective.collate([{"input_ids": tokens.input_ids}])
        self._batch = {name: value.to(self.device) for name, value in batch.items()}
        ids = self._batch["input_ids"]
        in_text = torch.tensor([[place is not None for place in tokens.places]], device=self.device)
        embed = base_of(model).get_input_embeddings()
        self._end = embed(ids).detach()
        self._start = embed(ids.masked_fill(in_text, objective.tokenizer.pad_token_id)).detach()

    def __call__(self, embeddings: torch.Tensor) -> torch.Tensor:
        """Return the log-odds for embeddings in place of tokens, shape (batch,)."""
        rest = {
            name: value.expand(len(embeddings), *value.shape[1:])
            for name, value in self._batch.items()
            if name != "input_ids"
        }
        return self._log_odds({**rest, "inputs_embeds": embeddings})

    def _log_odds(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        scores = self._objective.scores(self._model, batch).float() / self._temperature
        return log_odds(scores, self._label)

    def check_end(self) -> None:
        """Refuse a model that scores embeddings in another way than the tokens they belong to.

        Raises:
            ConfigError: If it does, as then another score would be explained than the one that is predicted with.
        """
        with torch.no_grad():
            by_tokens, by_embeddings = self._log_odds(self._batch).item(), self(self._end).item()
        if abs(by_tokens - by_embeddings) > NEXT_TO_NOTHING * max(1.0, abs(by_tokens)):
            raise ConfigError(
                f"This model (architecture {self._model.config.model_type!r}) scores the text with log-odds of "
                f"{by_tokens:.4g}, and the embeddings of its tokens alone with {by_embeddings:.4g}: it reads more of "
                "the tokens than their embeddings, so they cannot explain its prediction. A padding token written "
                "out in the text can be the cause."
            )

    def integrate(self, steps: int, tokens_per_batch: int) -> Attribution:
        """Integrate the gradients along the way."""
        from captum.attr import IntegratedGradients  # an extra, and slow to import

        with torch.no_grad():
            score, baseline_score = self(self._end).item(), self(self._start).item()
        values = np.zeros(len(self._tokens.input_ids))
        if any(place is not None for place in self._tokens.places):
            found = IntegratedGradients(self).attribute(
                self._end,
                self._start,
                n_steps=steps,
                method="gausslegendre",
                internal_batch_size=max(1, tokens_per_batch // len(values)),
            )
            values = found[0].double().sum(dim=-1).cpu().numpy()
        return Attribution(self._tokens, values, score, baseline_score, steps)
