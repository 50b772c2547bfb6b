"""Which modules of a model get an adapter: by role, by layer, and with which rank."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from sentlora.errors import TargetError
from sentlora.model.architectures import MODULES_BY_ROLE, ROLES, SHORTHANDS, head_of

Layers = str | Sequence[int] | None
# A key of rank_pattern gives way to every key behind it, and all of these to the end of a module's name.
_FROM_WIDE_TO_NARROW = ("all-linear", "attention-all", "attention")


def linear_modules(model: Any) -> list[str]:
    """Return the full names of the linear layers of a model that are not in its head."""
    heads = set(head_of(model))
    return [
        name
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and not heads & set(name.split("."))
    ]


def target_modules(model: Any, targets: str | Sequence[str], layers: Layers = None) -> list[str]:
    """Find the modules that roles, shorthands or module names mean in this model.

    Args:
        model: A transformers model (the meta device is enough).
        targets: Roles (``query``, ``key``, ``value``, ``output``, ``mlp``, ``head``),
            shorthands (``attention``, ``attention-all``, ``all-linear``) or the ends of
            module names (``q_lin``); one, a comma-separated text, or a sequence. ``head``
            names no LoRA target: the head is trained in full.
        layers: The layers to stay in: ``last-4``, ``first-2``, or numbers from 0; None for all.

    Returns:
        Full module names, in the order of the model.

    Raises:
        TargetError: If a target names nothing here (lists the roles and the linear layers), or a layer does not exist.
    """
    names = linear_modules(model)
    chosen: set[str] = set()
    for target in _items(targets):
        if target == "head":
            continue
        found = _named_by(target, names, model.config.model_type)
        if not found:
            raise unknown_target(target, model)
        chosen.update(found)
    if not chosen:
        raise TargetError(f"targets={targets!r} leaves no module to adapt; name at least one role besides 'head'.")
    return within_layers(model, [name for name in names if name in chosen], layers)


def within_layers(model: Any, chosen: Sequence[str], layers: Layers) -> list[str]:
    """Keep the modules that lie in some layers; in an encoder-decoder the rule holds for each stack by itself.

    Args:
        model: The model.
        chosen: Full module names.
        layers: ``last-4``, ``first-2``, or numbers from 0; None keeps all.

    Returns:
        What is left, in the same order.

    Raises:
        TargetError: If a layer does not exist, or nothing is left.
    """
    if layers is None:
        return list(chosen)
    places = {name: _place(name, model) for name in linear_modules(model)}
    stacks: dict[str, set[tuple[int, ...]]] = {}
    for place in places.values():
        if place is not None:
            stacks.setdefault(place[0], set()).add(place[1])
    kept: set[tuple[str, tuple[int, ...]]] = set()
    for stack in dict.fromkeys(place[0] for name in chosen if (place := places[name]) is not None):
        numbers = sorted(stacks[stack])
        kept |= {(stack, numbers[i]) for i in _picked(layers, len(numbers), stack, model.config)}
    left = [name for name in chosen if places[name] in kept]
    if not left:
        raise TargetError(f"layers={layers!r} leaves no module of the targets; the targets are: {_briefly(chosen)}.")
    return left


def _place(name: str, model: Any) -> tuple[str, tuple[int, ...]] | None:
    """Return the stack that a module is in and the number of its layer; None for what stands outside of the layers."""
    stack = re.match(r"(.*?)\.\d+\.", name)
    if stack is None:
        return None
    # ALBERT counts its groups, and the layers within each; elsewhere a second number counts the parts of a layer.
    depth = 2 if model.config.model_type == "albert" else 1
    return stack[1], tuple(int(part) for part in name.split(".") if part.isdigit())[:depth]


def _picked(layers: str | Sequence[int], count: int, stack: str, config: Any) -> Sequence[int]:
    if isinstance(layers, str):
        side, _, number = layers.partition("-")
        wanted = int(number)
        if wanted <= count:
            return range(wanted) if side == "first" else range(count - wanted, count)
        asked = f"{wanted} layers"
    else:
        beyond = [number for number in layers if number >= count]
        if not beyond:
            return layers
        asked = f"layer {beyond[0]}"
    there = "1 layer, number 0" if count == 1 else f"{count} layers, numbered from 0 to {count - 1}"
    uses = getattr(config, "num_hidden_layers", count)
    shared = f" This architecture passes through it {uses} times." if count == 1 and uses > 1 else ""
    raise TargetError(f"layers={layers!r} asks for {asked}; {stack!r} has {there}.{shared}")


def ranks_by_module(model: Any, chosen: Sequence[str], ranks: Mapping[str, int], rank: int) -> dict[str, int]:
    """Return the rank of every module.

    A module's name goes before a role, and a role before a shorthand: ``{"attention": 4, "query": 16}`` gives the
    queries 16.

    Args:
        model: The model.
        chosen: Full names of the modules that get LoRA matrices.
        ranks: Ranks by role, shorthand, or end of a module name.
        rank: The rank of all others.

    Raises:
        TargetError: If a key names none of the modules, or two roles give one module two ranks.
    """
    named: dict[str, tuple[int, str]] = {}
    for key in sorted(ranks, key=_narrowness):
        found = _named_by(key, chosen, model.config.model_type)
        if not found:
            raise TargetError(
                f"rank_pattern names {key!r}, which is none of the modules that get LoRA matrices: {_briefly(chosen)}. "
                "Name one of these or its role, or add it to targets."
            )
        for name in found:
            _, other = named.get(name, (0, key))
            if _narrowness(other) == _narrowness(key) and ranks[other] != ranks[key]:
                raise TargetError(
                    f"rank_pattern gives the module {name!r} rank {ranks[other]} by {other!r} and rank {ranks[key]} by "
                    f"{key!r}; leave one of them out."
                )
            named[name] = (ranks[key], key)
    return {name: named[name][0] if name in named else rank for name in chosen}


def _narrowness(key: str) -> tuple[int, int]:
    if key in _FROM_WIDE_TO_NARROW:
        return _FROM_WIDE_TO_NARROW.index(key), 0
    if key in ROLES:
        return len(_FROM_WIDE_TO_NARROW), 0
    return len(_FROM_WIDE_TO_NARROW) + 1, len(key)


def pattern_of(chosen: Sequence[str], names: Sequence[str]) -> str:
    """Return one regular expression that matches some modules, and none of the others.

    A pattern and not a list: peft keeps lists as sets, whose order on disk changes from run to run.

    Args:
        chosen: Full names of the modules to match, in the order of the model.
        names: All names that it may be held against.
    """
    exact = [re.escape(name) for name in chosen]
    numbered = re.compile(r"(?<=\\\.)\d+(?=\\\.)")
    everywhere = [numbered.sub(r"\\d+", name) for name in exact]
    for parts in (everywhere, _with_layer_numbers(exact, numbered)):
        pattern = "|".join(dict.fromkeys(parts))
        if [name for name in names if re.fullmatch(pattern, name)] == list(chosen):
            return pattern
    return "|".join(exact)


def _with_layer_numbers(exact: Sequence[str], numbered: re.Pattern[str]) -> list[str]:
    """Write all numbers of a stack's layers into every name of it, so that the names differ in nothing else."""
    numbers: dict[str, dict[str, None]] = {}
    for name in exact:
        if first := numbered.search(name):
            numbers.setdefault(name[: first.start()], {})[first[0]] = None
    parts = []
    for name in exact:
        first = numbered.search(name)
        if first is None:
            parts.append(name)
        else:
            head, rest = name[: first.start()], name[first.end() :]
            parts.append(f"{head}({'|'.join(numbers[head])})" + numbered.sub(r"\\d+", rest))
    return parts


def unknown_target(target: str, model: Any) -> TargetError:
    """Return the error for a target that names nothing; it lists the roles and the linear layers."""
    model_type = model.config.model_type
    known = ", ".join(ROLES) if model_type in MODULES_BY_ROLE else "none known for this architecture"
    return TargetError(
        f"The target {target!r} names no linear layer of this model (architecture {model_type!r}). "
        f"Roles: {known}; shorthands: {', '.join(SHORTHANDS)}, all-linear. "
        f"Its linear layers (# is a layer number): {_briefly(linear_modules(model))}."
    )


def _items(targets: str | Sequence[str]) -> list[str]:
    items = [part.strip() for part in targets.split(",")] if isinstance(targets, str) else list(targets)
    return [role for item in items if item for role in SHORTHANDS.get(item, (item,))]


def _named_by(target: str, names: Sequence[str], model_type: str) -> list[str]:
    """Return those of the names that a role, a shorthand or the end of a module name means."""
    if target == "all-linear":
        return list(names)
    roles = MODULES_BY_ROLE.get(model_type, {})
    endings = "|".join(roles.get(part) or re.escape(part) for part in SHORTHANDS.get(target, (target,)))
    return [name for name in names if re.fullmatch(rf"(.*\.)?({endings})", name)]


def _briefly(names: Sequence[str]) -> str:
    return ", ".join(dict.fromkeys(re.sub(r"\.\d+(?=\.)", ".#", name) for name in names))
