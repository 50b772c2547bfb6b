"""MultiAdapter: several adapters over one base model, and each text goes to the one that it is meant for."""

from __future__ import annotations

import difflib
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sentlora.data.text import shown
from sentlora.errors import ConfigError
from sentlora.evaluation.layout import text_table
from sentlora.evaluation.report import EvaluationReport
from sentlora.labels import LabelMap
from sentlora.model.quantization import number_of_weights
from sentlora.multi_adapter.member import Member
from sentlora.multi_adapter.routing import routed_texts
from sentlora.sentiment_lora import SentimentLoRA
from sentlora.sharing.beside import load_beside, no_adapter, read_part, remove
from sentlora.sharing.hub import adapter_folder
from sentlora.sharing.loading import load_folder
from sentlora.sharing.saving import save_adapter

# What peft calls the adapter that a model is loaded with.
_FIRST = "default"


class MultiAdapter:
    """Several adapters over one base model in memory; each text goes to the adapter that it is meant for.

    Every adapter keeps its labels, prompt, lengths, temperature and threshold, and gives what it gives alone. They
    may differ in all of these, in rank and in targets; they have in common the base model, its precision, and the kind
    of adapter (LoRA of any variant; or (IA)³, which do not mix).

    Adapters of one number of labels share batches. Where the texts of one adapter fill two batches or more, it is
    merged into the base weights while they are scored. Threads may share a MultiAdapter; they take turns.

    Examples:
        >>> multi = MultiAdapter({"films": "runs/films", "drugs": "runs/drugs"})  # doctest: +SKIP
        >>> multi.predict(["Great fun.", "Made me dizzy."], adapter=["films", "drugs"])  # doctest: +SKIP
        array(['positive', 'negative'], dtype='<U8')
    """

    def __init__(
        self,
        adapters: Mapping[str, Any],
        *,
        base_model: str | None = None,
        token: str | None = None,
        local_files_only: bool = False,
        verbose: bool = True,
    ) -> None:
        """Load the base model once, and all adapters into it.

        Args:
            adapters: From the name of each to its folder, to the id of a repository on the Hub, or to a fitted
                classifier, of which a copy is taken.
            base_model: Where the base model is now, if not where it was in training; taken for the base of all.
            token: Of the Hub, for adapters and base model. It is kept nowhere.
            local_files_only: Ask no network; take what the local cache of the Hub has.
            verbose: Print notices and progress bars.

        Raises:
            ConfigError: If there are no adapters, or two of them cannot share a base model; says what differs.
            NotFittedError: If a classifier is not fitted.
            AdapterFolderError: If a folder is incomplete, altered, or of another base model.
            BackboneError: If the base model cannot be loaded.
            HubError: If a repository cannot be had.
        """
        if not isinstance(adapters, Mapping) or not adapters:
            raise ConfigError(
                f"Expected adapters as a mapping from names to folders, such as {{'films': 'runs/films'}}; found "
                f"{shown(adapters)}."
            )
        self._base_model = base_model
        self._local_files_only = local_files_only
        self._verbose = verbose
        self._members: dict[str, Member] = {}
        self._n_added = 0
        # Which adapter is active, and whether it is merged, is a state of the one model that all of them share.
        self._turn = threading.RLock()
        for name, place in adapters.items():
            self.add(name, place, token=token)

    @property
    def names(self) -> list[str]:
        """What the adapters are called, in the order in which they were added."""
        return list(self._members)

    @property
    def labels(self) -> dict[str, LabelMap]:
        """The labels of each adapter, in the order of its columns in ``predict_proba``."""
        return {name: member.labels_ for name, member in self._members.items()}

    def add(self, name: str, place: Any, *, token: str | None = None) -> None:
        """Add an adapter; where it does not fit, nothing changes.

        Args:
            name: What it is called.
            place: Its folder, the id of a repository on the Hub, or a fitted classifier.
            token: Of the Hub.

        Raises:
            ConfigError: If the name is taken, or the adapter cannot share the base model; says what differs.
            AdapterFolderError: If the folder is incomplete, altered, or of another base model.
            HubError: If the repository cannot be had.
        """
        if not isinstance(name, str) or not name:
            raise ConfigError(f"Expected the name of an adapter as a text; found {shown(name)}.")
        if isinstance(place, SentimentLoRA):
            with tempfile.TemporaryDirectory() as folder:
                self._add(name, _written(place, name, Path(folder) / "adapter"), token)
                self._members[name].text_column = place.text_column
            return
        if not isinstance(place, (str, Path)):
            raise ConfigError(
                f"Expected an adapter folder, an id on the Hub or a fitted SentimentLoRA as {name!r}; found "
                f"{type(place).__name__}."
            )
        hub: dict[str, Any] = {"token": token, "local_files_only": self._local_files_only}
        self._add(name, adapter_folder(place, verbose=self._verbose, **hub), token)

    def _add(self, name: str, folder: Path, token: str | None) -> None:
        with self._turn:
            if name in self._members:
                raise ConfigError(f"There is an adapter {name!r} already. Remove it first, or take another name.")
            key = f"adapter_{self._n_added}" if self._members else _FIRST
            if self._members:
                there = self.names[0]
                loaded = load_beside(
                    self._members[there].loaded,
                    folder,
                    key,
                    names=(there, name),
                    same_base=self._base_model is not None,
                    local_files_only=self._local_files_only,
                )
            else:
                read_part(folder, name)
                hub: dict[str, Any] = {"token": token, "local_files_only": self._local_files_only}
                loaded = load_folder(folder, base_model=self._base_model, verbose=self._verbose, **hub)
            self._members[name] = Member.of(loaded, key, verbose=self._verbose)
            self._n_added += 1

    def remove(self, name: str) -> None:
        """Take an adapter out, and free its memory.

        Args:
            name: What it is called.

        Raises:
            ConfigError: If there is no such adapter, or it is the only one.
        """
        with self._turn:
            member = self._member(name)
            if len(self._members) == 1:
                raise ConfigError(f"{name!r} is the only adapter, and without any there is nothing to predict with.")
            other = next(other for other in self._members.values() if other is not member)
            remove(member._model, member.key, other.key)
            del self._members[name]

    def predict(
        self, texts: Any, *, adapter: str | Sequence[str] | None = None, abstain_below: float | None = None
    ) -> np.ndarray:
        """Predict the label of each text, each with the threshold of its adapter.

        Args:
            texts: As in ``SentimentLoRA.predict``; with several adapters each row is read as its adapter would.
            adapter: The name of one adapter, or one name for each text; it has to be given.
            abstain_below: Answer None where the probability of the label is below this.

        Returns:
            Labels, shape (n_texts,), in the order of the texts. An array of objects where labels of the adapters are
            of several kinds (strings, numbers), or some are None.

        Raises:
            ConfigError: If there is no such adapter, or ``abstain_below`` is no probability above 0 to 1.
            DataError: If a text is missing or no string, or there is not one name for each text.
        """

        def labels_of(member: Member, read: Any) -> np.ndarray:
            return member.predict(read, abstain_below=abstain_below)

        self._check_said(adapter)
        with self._turn:
            if isinstance(adapter, str):
                return labels_of(self._member(adapter), texts)
            routed = routed_texts(texts, adapter, self._member)
            return routed.in_order(routed.each(labels_of, written=True))

    def predict_proba(
        self, texts: Any, *, adapter: str | Sequence[str] | None = None
    ) -> np.ndarray | list[dict[Any, float]]:
        """Predict the probability of each label, each with the temperature of its adapter.

        Args:
            texts: As in :meth:`predict`.
            adapter: The name of one adapter, or one name for each text; it has to be given.

        Returns:
            Where all adapters that were asked have the same labels in the same order: an array, float64, shape
            (n_texts, n_labels), with columns in this order. Else a list with one dict for each text, from each label
            of its adapter to the probability.

        Raises:
            ConfigError: If there is no such adapter.
            DataError: If a text is missing or no string, or there is not one name for each text.
        """
        self._check_said(adapter)
        with self._turn:
            if isinstance(adapter, str):
                return self._member(adapter).predict_proba(texts)
            routed = routed_texts(texts, adapter, self._member)
            return routed.tables_in_order(routed.each(lambda member, read: member.predict_proba(read)))

    def evaluate(
        self,
        X: Any,
        y: Any = None,
        *,
        adapter: str | None = None,
        text_column: str | None = None,
        label_column: str | None = None,
    ) -> EvaluationReport:
        """Compare the predictions of one adapter with true labels, as ``SentimentLoRA.evaluate`` does.

        Args:
            X: Labelled texts in any form that ``SentimentLoRA.fit`` takes.
            y: The labels, where ``X`` is a sequence of texts.
            adapter: The name of the adapter.
            text_column: The column of texts, where its name does not tell.
            label_column: The column of labels, likewise.

        Raises:
            ConfigError: If there is no such adapter.
            DataError: If texts, labels or columns cannot be used as they are.
        """
        self._check_said(adapter)
        if not isinstance(adapter, str):
            raise ConfigError(
                f"evaluate() takes the name of one adapter, as a report has one set of labels; found {shown(adapter)}. "
                f"Evaluate one after the other: adapter={self.names[0]!r}."
            )
        with self._turn:
            return self._member(adapter).evaluate(X, y, text_column=text_column, label_column=label_column)

    def __str__(self) -> str:
        """Return the base model and a line for each adapter, with what it adds."""
        with self._turn:
            first = next(iter(self._members.values()))
            parameters = [
                (set(name.split(".")), number_of_weights(tensor), tensor.nbytes)
                for name, tensor in first._model.named_parameters()
                if ".original_module." not in name  # of a head that each adapter brings along
            ]
            keys = {member.key for member in self._members.values()}
            base = [(size, held) for parts, size, held in parameters if not parts & keys]
            rows = []
            for name, member in self._members.items():
                own = [(size, held) for parts, size, held in parameters if member.key in parts]
                labels = ", ".join(map(str, member.labels_.names))
                rows.append([name, member.kind, labels, *_sums(own)])
        n, megabytes = _sums(base)
        table = text_table(["adapter", "kind", "labels", "extra parameters", "MB"], rows, left=3)
        return f"MultiAdapter over {first.base_model}: {n} parameters, {megabytes} MB\n{table}"

    def _check_said(self, adapter: Any) -> None:
        if adapter is None:
            raise ConfigError(
                f"Say which adapter is meant: adapter={self.names[0]!r} for all texts, or for predictions a list with "
                f"one name for each. There are: {', '.join(self.names)}."
            )

    def _member(self, name: Any) -> Member:
        if isinstance(name, str) and name in self._members:
            return self._members[name]
        near = difflib.get_close_matches(str(name), self._members, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise ConfigError(f"There is no adapter {name!r}. There are: {', '.join(self._members)}.{hint}")


def _sums(parameters: Sequence[tuple[int, int]]) -> list[str]:
    """Return how many parameters there are, and how many megabytes they take, as text."""
    return [f"{sum(size for size, _ in parameters):,}", f"{sum(held for _, held in parameters) / 1e6:,.1f}"]


def _written(clf: SentimentLoRA, name: str, folder: Path) -> Path:
    """Write a classifier as a folder without figures, as all adapters are read from there."""
    clf.check_fitted()
    if not hasattr(clf._model, "peft_config"):
        raise no_adapter(name)
    config = clf._config()
    return save_adapter(folder, clf._model, clf._objective.tokenizer, config, [], {})
