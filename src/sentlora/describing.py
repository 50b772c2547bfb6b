"""What a classifier says of itself in a notebook: what was set before training, and what came of it."""

from __future__ import annotations

import inspect
import reprlib
from typing import TYPE_CHECKING

from sentlora.model.counting import ParameterCount, bar_and_counts, count_parameters
from sentlora.notebook import card, soft, table, tiles, titled
from sentlora.settings import Settings

if TYPE_CHECKING:
    from sentlora.keeping import Keeping

_FIGURES = {"accuracy": "accuracy", "f1_macro": "macro F1", "roc_auc": "ROC-AUC", "validation_loss": "loss"}
# A whole TrainingArguments would fill the screen.
_SHORT = reprlib.Repr()
_SHORT.maxother = _SHORT.maxstring = 100
_SHORT.maxdict = _SHORT.maxlist = _SHORT.maxtuple = 8


def fragment(clf: Keeping) -> str:
    """Write a classifier as a piece of HTML that can stand in any page. Nothing is loaded or computed for it.

    Args:
        clf: A SentimentLoRA, trained or not.
    """
    return _trained(clf) if hasattr(clf, "_model") else _untrained(clf)


def _untrained(clf: Keeping) -> str:
    initial = inspect.signature(type(clf).__init__).parameters
    rows = [("base model", str(clf.base_model))]
    rows += [
        (name, _SHORT.repr(value))
        for name, value in clf.get_params(deep=False).items()
        if name != "base_model" and value is not initial[name].default
    ]
    notes = ["What is not named here takes the recipe's value, or else the library's."]
    notes.append("fit(...) trains it; trainable_parameters counts, before anything is loaded.")
    return card("classifier", f"{type(clf).__name__}, not trained yet", _facts(rows), *map(soft, notes))


def _trained(clf: Keeping) -> str:
    count = count_parameters(clf._model)
    rows = [("base model", clf.base_model), ("labels", str(clf.labels_))]
    rows.append(("what trains", _what_trains(clf.settings_, count)))
    if clf.trained_on_:
        rows.append(("trained on", _trained_on(clf)))
    if clf.prompt_ is not None:
        rows.append(("prompt", clf.prompt_.template))
    rows += [("probabilities", _probabilities(clf)), ("decision", _decision(clf))]
    share = f"{count.trainable:,} of {count.total:,} parameters train ({count.percent:.2f} %)."
    parts = [_facts(rows), titled(share, bar_and_counts(count)), _kept_epoch(clf)]
    return card("classifier", f"{type(clf).__name__}, trained", *parts)


def _facts(rows: list[tuple[str, str]]) -> str:
    return table((), rows, left=2)


def _what_trains(settings: Settings, count: ParameterCount) -> str:
    if settings.adapter != "lora":
        return {"head": "the classification head alone", "full": "every weight", "none": "nothing"}[settings.adapter]
    targets = settings.targets if isinstance(settings.targets, str) else ", ".join(settings.targets)
    parts = [{"lora": "LoRA", "ia3": "IA3"}.get(settings.variant, f"LoRA ({settings.variant})")]
    if settings.variant != "ia3":
        parts += [f"r {settings.r}", f"alpha {settings.alpha:g}"]
        parts += [f"rank_pattern {dict(settings.rank_pattern)}"] if settings.rank_pattern else []
    parts.append(f"targets {targets}")
    parts += [f"layers {settings.layers}"] if settings.layers is not None else []
    parts += ["and the head"] if count.trainable > count.trainable_without_head else []
    parts += [f"over weights in {settings.quantization}"] if settings.quantization is not None else []
    return ", ".join(parts)


def _trained_on(clf: Keeping) -> str:
    splits = clf._facts.get("data", {}).get("splits", {})
    sizes = {"train": "to train on", "validation": "to validate"}
    rows = [f"{splits[name]['rows']:,} rows {use}" for name, use in sizes.items() if name in splits]
    return ": ".join([clf.trained_on_, *filter(None, [", ".join(rows)])])


def _probabilities(clf: Keeping) -> str:
    if clf.temperature_ == 1:
        return "not calibrated"
    return f"calibrated: logits are divided by a temperature of {clf.temperature_:.4g}"


def _decision(clf: Keeping) -> str:
    if (clf.decode or clf.settings_.decode) == "generate":
        return "the label that the model writes"
    if clf.threshold_ is None:
        return "the most probable label"
    rule = "" if clf.threshold_rule_ is None else f", chosen for {clf.threshold_rule_}"
    return f"{clf.labels_.names[clf.labels_.positive_id]} from a probability of {clf.threshold_:.4g} on{rule}"


def _kept_epoch(clf: Keeping) -> str:
    """Show what the kept weights said of the validation rows; nothing where nothing was trained."""
    kept = clf.validation_
    if not kept:
        return ""
    figures = [(title, f"{kept[name]:.4f}", "") for name, title in _FIGURES.items() if name in kept]
    epoch = f"Epoch {kept['epoch']:.4g} of {len(clf.history_)} was kept" if "epoch" in kept else "What was kept"
    return titled(f"{epoch}; on the validation rows:", tiles(figures))
