"""LoRA in one class: W x + (alpha / r) B A x beside BERT's query and value (Hu et al. 2021, arXiv:2106.09685).

    python examples/lora_from_scratch.py            # the shape of bert-base-uncased, with random weights
    python examples/lora_from_scratch.py --smoke    # two narrow layers: seconds

W (d_out x d_in) stays as it was pretrained. What trains is its change, written as a product of two thin matrices:
r * (d_in + d_out) numbers in place of d_in * d_out. B starts at zero, so training starts from the pretrained model
itself. At the end B A is added to W, and the layer costs what it cost before. docs/explanation/lora.md says more.
"""

import argparse
from collections.abc import Callable

import torch
from torch import nn
from transformers import BertConfig, BertForSequenceClassification


class LoRALinear(nn.Module):
    """A linear layer with a trainable update of rank r beside it."""

    def __init__(self, base: nn.Linear, r: int, alpha: float) -> None:
        super().__init__()
        self.base, self.scale = base, alpha / r
        self.A = nn.Parameter(base.weight.new_empty(r, base.in_features))  # down: d_in -> r
        self.B = nn.Parameter(base.weight.new_zeros(base.out_features, r))  # up: r -> d_out
        nn.init.kaiming_uniform_(self.A, a=5**0.5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return W x + b + scale * B (A x); the product B A, as large as W, is not formed."""
        return self.base(x) + self.scale * nn.functional.linear(nn.functional.linear(x, self.A), self.B)

    def merge(self) -> nn.Linear:
        """Add the update to W, and return the plain layer that now does the same alone."""
        self.base.weight.data += self.scale * self.B.data @ self.A.data
        return self.base


def replace(model: nn.Module, names: tuple[str, ...], make: Callable[[nn.Module], nn.Module]) -> None:
    """Put make(layer) in the place of every layer with one of these names."""
    for path, layer in list(model.named_modules()):
        parent, _, name = path.rpartition(".")
        if name in names:
            setattr(model.get_submodule(parent), name, make(layer))


def inject(model: nn.Module, r: int, alpha: float, names: tuple[str, ...] = ("query", "value")) -> None:
    """Freeze a model, and put LoRA beside the layers of these names; the classifier is new and trains in full."""
    model.requires_grad_(False)
    replace(model, names, lambda layer: LoRALinear(layer, r, alpha))
    model.classifier.requires_grad_(True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="LoRA from scratch: count, train on a toy task, merge.")
    parser.add_argument("--smoke", action="store_true", help="two narrow layers: seconds")
    small = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 128}
    torch.manual_seed(0)
    model = BertForSequenceClassification(BertConfig(**small if parser.parse_args().smoke else {})).eval()
    ids = torch.randint(1000, 30000, (16, 8))
    labels = (ids < 15000).sum(dim=1).gt(4).long()  # the toy task: are most token ids small?
    before = model(ids).logits
    inject(model, r=4, alpha=16)
    print(f"B is zero, so the logits moved by {(model(ids).logits - before).abs().max():.1e}")
    lora = sum(p.numel() for name, p in model.named_parameters() if name.endswith((".A", ".B")))
    share = lora / sum(p.numel() for p in model.parameters())
    print(f"LoRA has {lora:,} parameters, {share:.2%} of the model; beside them only the classifier trains")
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=5e-3)
    for step in range(1, 11):
        loss = nn.functional.cross_entropy(model(ids).logits, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step in (1, 5, 10):
            print(f"step {step:>2}: loss {loss.item():.3f}")
    after = model(ids).logits
    replace(model, ("query", "value"), LoRALinear.merge)
    print(f"merged and unmerged logits differ by at most {(model(ids).logits - after).abs().max():.1e}")
