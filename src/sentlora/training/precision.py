"""In which precision a model trains: bfloat16 where the hardware computes in it by itself, else float32.

Weights, gradients and optimizer states are float32 in both; only the products of matrices are computed in bfloat16,
which has the range of float32 and so needs no loss scaling (Micikevicius et al. 2018, arXiv:1710.03740; Kalamkar et
al. 2019, arXiv:1905.12322). What is not training is float32: the start of the head, evaluation on a CPU, prediction.
"""

from __future__ import annotations

from pathlib import Path

import torch

from sentlora import processes
from sentlora.console import say
from sentlora.errors import ConfigError
from sentlora.settings import Settings

# Flag of a CPU -> the name of its instructions; the faster ones first.
_INSTRUCTIONS = {"amx_bf16": "AMX-BF16", "avx512_bf16": "AVX512-BF16"}


def settled_precision(settings: Settings, device: torch.device) -> str:
    """Return the precision to train in, ``"bf16"`` or ``"float32"``. What is settled already stays.

    Args:
        settings: ``precision``, and what trains: on a CPU, ``auto`` is float32 for a head alone, whose features are
            computed before, and for quantised weights, which are unpacked to float32.
        device: Where the model trains.

    Raises:
        ConfigError: If bfloat16 is asked for, and cannot be had.

    Examples:
        >>> settled_precision(Settings(precision="float32"), torch.device("cpu"))
        'float32'
    """
    if settings.precision == "float32":
        return "float32"
    obstacle = _obstacle(device)
    if settings.precision == "bf16":
        if obstacle is not None:
            raise ConfigError(f"precision='bf16' cannot be had here: {obstacle}. Leave precision out.")
        return "bf16"
    pays = settings.adapter in ("lora", "full") and settings.quantization is None
    return "bf16" if obstacle is None and (pays or device.type != "cpu") else "float32"


def say_precision(settings: Settings, device: torch.device, *, verbose: bool = True) -> None:
    """Say in one line that a CPU trains in bfloat16, which not everybody expects of it.

    Args:
        settings: With the precision settled.
        device: Where the model trains.
        verbose: Print nothing when false.
    """
    if settings.precision == "bf16" and device.type == "cpu":
        say(f"training in bf16 mixed precision (this CPU has {cpu_bf16()})", verbose=verbose)


def computes_in_bf16(device: torch.device) -> bool:
    """Tell whether models train in bfloat16 on a device: where it is imitated, it takes longer than float32."""
    return _obstacle(device) is None


def _obstacle(device: torch.device) -> str | None:
    if device.type == "cuda":
        return None if torch.cuda.is_bf16_supported(including_emulation=False) else "this GPU only imitates bfloat16"
    if device.type != "cpu":
        return f"it is not offered on {device.type!r}"
    if cpu_bf16() is None:
        return f"this CPU has no {' or '.join(_INSTRUCTIONS.values())}, and would only imitate bfloat16"
    # Under FSDP accelerate leaves autocast out, and what it has in its place does nothing on a CPU.
    return "FSDP trains in float32 on a CPU" if processes.is_sharded() else None


def cpu_bf16() -> str | None:
    """Return the name of the instructions by which this CPU computes in bfloat16, or None if it has none."""
    # Without oneDNN torch multiplies matrices of bfloat16 number by number, whatever the CPU has.
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return None
    flags = _cpu_flags()
    return next((name for flag, name in _INSTRUCTIONS.items() if flag in flags), None)


def _cpu_flags() -> set[str]:
    if hasattr(torch.cpu, "get_capabilities"):
        return {flag for flag, has in torch.cpu.get_capabilities().items() if has}
    # An older torch says nothing of it; where the system does not either, it is float32.
    told = Path("/proc/cpuinfo")
    return set(told.read_text(encoding="utf-8").split()) if told.is_file() else set()
