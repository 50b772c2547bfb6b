"""What trains: LoRA matrices, the head alone, every weight, or nothing."""

from __future__ import annotations

from typing import Any

from peft import LoraConfig
from peft.utils.constants import DUMMY_TARGET_MODULES

from sentlora.errors import ConfigError
from sentlora.model.adapter import adapter_config, attach
from sentlora.model.architectures import in_head, writes_text
from sentlora.settings import Settings


def adapt(model: Any, settings: Settings, lora: LoraConfig | None = None) -> Any:
    """Make a base model trainable in the way that ``settings.adapter`` names.

    Args:
        model: A transformers model.
        settings: The mode, and what it needs.
        lora: The user's own LoraConfig, in place of the settings.

    Returns:
        The PeftModel around ``model``; for ``full`` the model itself. ``head`` and ``none`` are adapters without
        matrices, so they are saved, loaded and shared like every other.

    Raises:
        ConfigError: If there is no head that could be trained alone.
        TargetError: If a target names nothing in this model.
    """
    if settings.adapter == "full":
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(settings.train_head or not in_head(name, model))
        return model
    if settings.adapter == "head" and writes_text(model):
        raise ConfigError(
            f"adapter='head' trains a classification head; this model (architecture {model.config.model_type!r}) has "
            "none, it answers in words. Take adapter='lora', or an encoder."
        )
    if settings.adapter != "lora":
        lora = LoraConfig(target_modules=DUMMY_TARGET_MODULES, r=1)
    config = lora if lora is not None else adapter_config(model, settings)
    return attach(model, config, train_head=settings.train_head and settings.adapter != "none")
