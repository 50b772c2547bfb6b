"""Folders made by somebody who means harm: each has to be refused with its reason, and nothing in it may run.

`ATTACKS` holds them; the tests load each one, too. Printed by `faults.py`.
"""

from __future__ import annotations

import json
import os
import pickle
import re
import shutil
import signal
import struct
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HUGE = 10 * 2**30
RAN = "ran"
_SECONDS = 60
_ONNX_FLOAT = 1


@dataclass(frozen=True)
class Attack:
    """A change of a folder that was fine.

    Attributes:
        kind: Of attack, as the table has it.
        name: What is done.
        harm: Does it to a copy of the folder. The hashes in ``sentlora.json`` are taken out, as whoever alters a file
            can alter its hash.
        words: A regular expression for the reason with which the folder is refused.
        of: What the folder holds: ``adapter``, ``full`` or ``onnx``.
    """

    kind: str
    name: str
    harm: Callable[[Path], object]
    words: str
    of: str = "adapter"

    def make(self, folder: Path, place: Path) -> Path:
        """Copy a folder, harm the copy, and return it. Nothing in it may write the file ``ran`` beside it."""
        shutil.copytree(folder, place)
        edit(place / "sentlora.json", files={})
        self.harm(place)
        return place


class Bomb:
    """What runs when it is unpickled."""

    def __init__(self, place: Path) -> None:
        """Remember which file to write."""
        self.place = place

    def __reduce__(self) -> tuple[Any, ...]:
        """Have the unpickler write the file."""
        return Path.touch, (self.place,)


def edit(path: Path, **changes: Any) -> None:
    """Change some entries of a JSON object."""
    path.write_text(json.dumps({**json.loads(path.read_text(encoding="utf-8")), **changes}), encoding="utf-8")


def ran(folder: Path) -> Path:
    """Return the file that is there as soon as something in a folder has run."""
    return folder.parent / RAN


def _edit(name: str, **changes: Any) -> Callable[[Path], None]:
    return lambda folder: edit(folder / name, **changes)


def _text(name: str, text: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_text(text, encoding="utf-8")


def _number(field: str, digits: str) -> Callable[[Path], None]:
    def harm(folder: Path) -> None:
        edit(folder / "sentlora.json", **{field: "DIGITS"})
        text = (folder / "sentlora.json").read_text(encoding="utf-8").replace('"DIGITS"', digits)
        (folder / "sentlora.json").write_text(text, encoding="utf-8")

    return harm


def _deep(name: str, key: str = "deep") -> Callable[[Path], object]:
    return _text(name, '{"' + key + '": ' + "[" * 100_000 + "]" * 100_000 + "}")


def _sparse(name: str) -> Callable[[Path], None]:
    return lambda folder: os.truncate(folder / name, HUGE)


def _link(name: str, target: str | None = None) -> Callable[[Path], None]:
    def harm(folder: Path) -> None:
        there = Path(target) if target else Path((folder / name).rename(folder.parent / f"outside-{name}"))
        (folder / name).unlink(missing_ok=True)
        (folder / name).symlink_to(there)

    return harm


def _linked_folder(folder: Path) -> None:
    (folder.parent / "elsewhere").mkdir()
    (folder / "more").symlink_to(folder.parent / "elsewhere", target_is_directory=True)


def _header(name: str) -> Callable[[Path], None]:
    def harm(folder: Path) -> None:
        (folder / name).write_bytes(struct.pack("<Q", HUGE) + b"{")
        os.truncate(folder / name, HUGE + 8)

    return harm


def _tensor(name: str, change: Callable[[Any], Any], of: str) -> Callable[[Path], None]:
    def harm(folder: Path) -> None:
        from safetensors.torch import load_file, save_file

        weights = load_file(folder / name)
        key = next(key for key in weights if of in key)
        weights[key] = change(weights[key])
        save_file(weights, folder / name, metadata={"format": "pt"})

    return harm


def _with_value(value: float) -> Callable[[Any], Any]:
    def change(tensor: Any) -> Any:
        tensor = tensor.clone()
        tensor.view(-1)[0] = value
        return tensor

    return change


def _wider(tensor: Any) -> Any:
    import torch

    return torch.cat([tensor, tensor])


def _pickled(safe: str, pickled: str) -> Callable[[Path], None]:
    def harm(folder: Path) -> None:
        (folder / safe).unlink()
        (folder / pickled).write_bytes(pickle.dumps(Bomb(ran(folder))))

    return harm


def _own_code(folder: Path, name: str, auto: dict[str, Any], **more: Any) -> None:
    (folder / "own.py").write_text(f"from pathlib import Path\nPath({str(ran(folder))!r}).touch()\n", encoding="utf-8")
    edit(folder / name, auto_map=auto, **more)


def _base(folder: Path) -> Path:
    """Copy the base model beside the folder, and have the folder name the copy."""
    named = Path(json.loads((folder / "sentlora.json").read_text(encoding="utf-8"))["base_model"])
    copied = folder.parent / "base-of-a-stranger"
    shutil.copytree(named, copied)
    edit(folder / "sentlora.json", base_model=str(copied))
    return copied


def _base_code(folder: Path) -> None:
    base = _base(folder)
    auto = {"AutoConfig": "own.Config", "AutoModelForSequenceClassification": "own.Model"}
    (folder.parent / "own").mkdir()
    _own_code(base, "config.json", auto, model_type="stranger")


def _base_pickle(folder: Path) -> None:
    _pickled("model.safetensors", "pytorch_model.bin")(_base(folder))


def _base_nan(folder: Path) -> None:
    _tensor("model.safetensors", _with_value(float("nan")), "word_embeddings")(_base(folder))


def _base_shape(folder: Path) -> None:
    _tensor("model.safetensors", _wider, "layer.1.output.dense.weight")(_base(folder))


def _base_width(folder: Path) -> None:
    edit(_base(folder) / "config.json", layer_norm_eps=0.5)


def _vocabulary(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()
    edit(folder / "tokenizer_config.json", tokenizer_class="BertTokenizer", vocab_file="/etc/passwd")


def _large_ids(folder: Path) -> None:
    tokens = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    tokens["model"]["vocab"]["good"] = 1_000_000
    (folder / "tokenizer.json").write_text(json.dumps(tokens), encoding="utf-8")


def _redirected(folder: Path) -> None:
    _text("adapter_config.json", '{"base_model_name_or_path": "/etc", "peft_type": "LORA"}')(folder)


def _nan_in_graph(folder: Path) -> None:
    import numpy as np
    import onnx
    from onnx import numpy_helper

    graph = onnx.load(folder / "model.onnx")
    tensor = next(one for one in graph.graph.initializer if one.data_type == _ONNX_FLOAT and len(one.dims) == 2)
    weights = numpy_helper.to_array(tensor).copy()
    weights[0, 0] = np.nan
    tensor.CopyFrom(numpy_helper.from_array(weights, tensor.name))
    onnx.save(graph, folder / "model.onnx")


_LINK, _PLACE, _HEADER, _SHAPE = "links", "paths", "headers of 10 GB", "shapes"
_NAN, _SCHEMA, _JSON, _SIZE, _CODE, _OTHER = (
    "NaN",
    "schema versions",
    "JSON bombs",
    "files of 10 GB",
    "code",
    "another base",
)
_CONFIG, _WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
_VERSION = r"has schema version .*; this sentlora reads version 1"

ATTACKS = (
    Attack(_LINK, "weights outside", _link(_WEIGHTS), r"safetensors is a link to .* leads out of the folder"),
    Attack(
        _LINK, "a tokenizer outside", _link("tokenizer.json", "/etc/passwd"), r"tokenizer\.json is a link to '/etc/pa"
    ),
    Attack(_LINK, "a record outside", _link("sentlora.json"), r"sentlora\.json is a link to .* leads out"),
    Attack(_LINK, "a folder outside", _linked_folder, r"more is a link to .* leads out"),
    Attack(_LINK, "a graph outside", _link("model.onnx"), r"model\.onnx is a link to .* leads out", of="onnx"),
    Attack(
        _PLACE, "..", _edit("sentlora.json", files={"../x": "0" * 64}), r"names the file '\.\./x', which is outside"
    ),
    Attack(
        _PLACE, "absolute", _edit("sentlora.json", files={"/etc/hostname": "0"}), "'/etc/hostname', which is outside"
    ),
    Attack(_PLACE, "of Windows", _edit("sentlora.json", files={"..\\x": "0" * 64}), "which is outside the folder"),
    Attack(_PLACE, "a vocabulary", _vocabulary, r"lacks the file tokenizer\.json"),
    Attack(_PLACE, "another model", _redirected, r"a whole model and also adapter_config\.json", of="full"),
    Attack(_HEADER, "adapter", _header(_WEIGHTS), r"adapter_model\.safetensors is damaged: .*header too large"),
    Attack(
        _HEADER, "model", _header("model.safetensors"), r"model\.safetensors is damaged: .*header too large", of="full"
    ),
    Attack(_SHAPE, "matrix", _tensor(_WEIGHTS, _wider, "lora_A"), r"expected shape \(\d+, \d+\), found \(\d+, \d+\)"),
    Attack(
        _SHAPE, "head", _tensor(_WEIGHTS, _wider, "classifier.weight"), r"expected shape \(2, 32\), found \(4, 32\)"
    ),
    Attack(_SHAPE, "whole", _tensor("model.safetensors", _wider, "query.weight"), "expected shape .* found", of="full"),
    Attack(
        _SHAPE, "base", _base_shape, r"lacks 1 weights of its body, the first is '.*layer\.1\.output\.dense\.weight'"
    ),
    Attack(_SHAPE, "rank", _edit(_CONFIG, r=10**9), r"speaks of the rank 1,000,000,000, and no matrix in"),
    Attack(_SHAPE, "rank of one", _edit(_CONFIG, rank_pattern={"query": 10**9}), r"speaks of the rank 1,000,000,000"),
    Attack(
        _SHAPE, "layers", _edit(_CONFIG, layer_replication=[[0, 2]] * 10**4), "repeat more layers of the base model"
    ),
    Attack(
        _SHAPE, "a wide model", _edit("config.json", hidden_size=2 * 10**9), "says hidden_size=2,000,000,000", of="full"
    ),
    Attack(
        _SHAPE, "a deep model", _edit("config.json", num_hidden_layers=10**7), "num_hidden_layers=10,000,000", of="full"
    ),
    Attack(_SHAPE, "more layers", _edit("config.json", num_hidden_layers=900), "describes a model of", of="full"),
    Attack(_SHAPE, "token ids", _large_ids, r"has tokens up to 1,000,000, and the model takes those below"),
    Attack(
        _NAN, "matrix", _tensor(_WEIGHTS, _with_value(float("nan")), "lora_B"), "holds NaN or infinity in the tensor"
    ),
    Attack(
        _NAN, "infinity", _tensor(_WEIGHTS, _with_value(float("inf")), "lora_A"), "holds NaN or infinity in the tensor"
    ),
    Attack(
        _NAN, "integers", _tensor(_WEIGHTS, lambda t: t.int(), "lora_A"), r"as torch\.int32; expected floating-point"
    ),
    Attack(_NAN, "model", _tensor("model.safetensors", _with_value(float("nan")), "query.weight"), "NaN", of="full"),
    Attack(_NAN, "base", _base_nan, r"base-of-a-stranger' holds NaN or infinity in '.*word_embeddings"),
    Attack(_NAN, "graph", _nan_in_graph, r"model\.onnx holds NaN or infinity in the tensor", of="onnx"),
    Attack(_SCHEMA, "newer", _edit("sentlora.json", schema_version=99), _VERSION),
    Attack(_SCHEMA, "true", _edit("sentlora.json", schema_version=True), _VERSION),
    Attack(_SCHEMA, "a word", _edit("sentlora.json", schema_version="1"), _VERSION),
    Attack(_SCHEMA, "none", _edit("sentlora.json", schema_version=None), _VERSION),
    Attack(_SCHEMA, "a format", _edit("sentlora_export.json", format="pickle"), "names the format 'pickle'", of="onnx"),
    Attack(
        _JSON, "deep record", _deep("sentlora.json"), r"sentlora\.json is not valid JSON: it is nested deeper than 64"
    ),
    Attack(_JSON, "deep field", _edit("sentlora.json", data=json.loads("[" * 99 + "]" * 99)), "nested deeper than 64"),
    Attack(
        _JSON, "deep adapter", _deep(_CONFIG), r"adapter_config\.json is not valid JSON: it is nested deeper than 64"
    ),
    Attack(
        _JSON, "deep model", _deep("config.json"), r"config\.json is not valid JSON: it is nested deeper", of="full"
    ),
    Attack(_JSON, "deep figures", _deep("metrics.json"), r"metrics\.json is not valid JSON: it is nested deeper"),
    Attack(_JSON, "deep log", _deep("training_log.jsonl"), r"training_log\.jsonl is not valid JSON: it is nested"),
    Attack(_JSON, "deep export", _deep("sentlora_export.json"), "does not name the model's format", of="onnx"),
    Attack(_JSON, "deep tokens", _deep("tokenizer.json", "model"), "could not be loaded.* The reason given: "),
    Attack(_JSON, "deep tokenizer", _deep("tokenizer_config.json"), "could not be loaded.* The reason given: "),
    Attack(_JSON, "1e999", _number("temperature", "1e999"), r"the number 1e999 is out of range"),
    Attack(_JSON, "10,000 digits", _number("max_length", "9" * 10_000), r"a number of 10,000 digits is out of range"),
    Attack(_JSON, "NaN", _number("threshold", "NaN"), r"NaN is no number of JSON"),
    Attack(_JSON, "threshold", _edit("sentlora.json", threshold=7), r"has the threshold 7; it must be a probability"),
    Attack(_JSON, "a list", _text(_CONFIG, "[1]"), r"adapter_config\.json should hold a JSON object; found list"),
    Attack(_JSON, "pattern", _edit(_CONFIG, target_modules="(a|a)*$"), r"repeats a group without end"),
    Attack(
        _SIZE, "record", _sparse("sentlora.json"), r"sentlora\.json has 10,737,418,240 bytes, and no file of this name"
    ),
    Attack(_SIZE, "adapter", _sparse(_CONFIG), r"adapter_config\.json has 10,737,418,240 bytes"),
    Attack(_SIZE, "tokenizer", _sparse("tokenizer.json"), r"tokenizer\.json has 10,737,418,240 bytes"),
    Attack(_SIZE, "log", _sparse("training_log.jsonl"), r"training_log\.jsonl has 10,737,418,240 bytes"),
    Attack(
        _CODE,
        "pickle",
        _pickled(_WEIGHTS, "adapter_model.bin"),
        r"lacks the file .* adapter_model\.bin may hold weights",
    ),
    Attack(
        _CODE, "model", _pickled("model.safetensors", "pytorch_model.bin"), r"pytorch_model\.bin may hold", of="full"
    ),
    Attack(_CODE, "pickled base", _base_pickle, r"holds its weights as a pickle, pytorch_model\.bin"),
    Attack(_CODE, "code of a base", _base_code, r"comes with code of its own, .* it was not run"),
    Attack(
        _CODE,
        "code of a tokenizer",
        lambda folder: _own_code(
            folder, "tokenizer_config.json", {"AutoTokenizer": [None, "own.Own"]}, tokenizer_class="Own"
        ),
        r"comes with code of its own, .* it was not run",
    ),
    Attack(
        _CODE,
        "code of a model",
        lambda folder: _own_code(folder, "config.json", {"AutoConfig": "own.Own"}, model_type="stranger"),
        r"comes with code of its own, .* it was not run",
        of="full",
    ),
    Attack(
        _CODE,
        "a module",
        _edit(_CONFIG, megatron_config={"a": 1}, megatron_core="megatron.stranger"),
        r"asks peft to import the module 'megatron\.stranger'",
    ),
    Attack(
        _OTHER,
        "by its name",
        _edit("sentlora.json", base_model="minilm"),
        r"was trained on a base model with .*, and 'minilm' has .*\. That is another base model",
    ),
    Attack(_OTHER, "by its config", _base_width, r"with layer_norm_eps=1e-12, and '.*base-of-a-stranger' has .*=0\.5"),
    Attack(_OTHER, "by the record", _edit("sentlora.json", base_config={"vocab_size": 1}), "with vocab_size=1, and"),
)


def refused(attack: Attack, folder: Path) -> bool:
    """Tell whether a folder is refused for the reason that it should be, and nothing in it has run."""
    from sentlora import SentimentLoRA
    from sentlora.errors import SentloraError

    try:
        SentimentLoRA.load(folder, verbose=False)
    except SentloraError as error:
        return re.search(attack.words, str(error), re.DOTALL) is not None and not ran(folder).exists()
    return False


def _tried(attack: Attack, folder: Path, place: Path) -> bool:
    """Load a harmed folder in a copy of this process, which is given a minute."""
    process = os.fork()
    if process == 0:
        status = 1
        try:
            signal.alarm(_SECONDS)
            status = 0 if refused(attack, attack.make(folder, place)) else 1
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 0


def rows(smoke: bool) -> list[dict[str, str | int]]:
    """Try each attack in a process of its own; a few of them in a smoke run."""
    os.environ |= {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    import torch

    from sentlora import SentimentLoRA
    from tiny import reviews, save_tiny_bert

    torch.set_num_threads(1)  # threads do not survive a fork
    tried: Counter[str] = Counter()
    survived: Counter[str] = Counter()
    with tempfile.TemporaryDirectory(prefix="sentlora-hostile-") as name:
        place = Path(name)
        save_tiny_bert(place / "base")
        texts, labels = reviews(36, seed=0)
        how: dict[str, Any] = {"epochs": 0, "max_length": 32, "allow_leaks": True, "verbose": False}
        clf = SentimentLoRA(str(place / "base"), **how).fit(texts, labels)
        folders = {"adapter": clf.save(place / "adapter"), "onnx": place / "onnx"}
        folders["full"] = (
            SentimentLoRA(str(place / "base"), adapter="full", **how).fit(texts, labels).save(place / "full")
        )
        clf.export(folders["onnx"], format="onnx")
        for number, attack in enumerate(ATTACKS[::6] if smoke else ATTACKS):
            own = place / str(number)
            own.mkdir()
            tried[attack.kind] += 1
            survived[attack.kind] += _tried(attack, folders[attack.of], own / "folder")
    return [
        {
            "fault": f"hostile folder: {kind}",
            "tried": tried[kind],
            "survived": survived[kind],
            "lost or torn": tried[kind] - survived[kind],
        }
        for kind in tried
    ]
