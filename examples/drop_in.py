"""Replace the attention sublayer of a small classifier by Fourier mixing.

Both classifiers learn to tell whether the second half of a sequence repeats the first, which no
model can tell without mixing tokens. Prints accuracy, parameters and seconds of each.

    python examples/drop_in.py
    python examples/drop_in.py --steps 500
"""

import argparse
import time

import torch
from torch import Tensor, nn

from fnet_kernels import FusedFourierMix

VOCABULARY, HALF, HIDDEN = 16, 16, 64


class SelfAttention(nn.Module):
    """The sublayer that is replaced: y = LayerNorm(x + Attention(x)), [batch, seq, hidden]."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(hidden, num_heads=4, batch_first=True)
        self.norm = nn.LayerNorm(hidden)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.norm(x + self.attention(x, x, x, need_weights=False)[0])
        return y


class Block(nn.Module):
    """Any mixing sublayer, followed by a feed-forward network."""

    def __init__(self, mixing: nn.Module) -> None:
        super().__init__()
        self.mixing = mixing
        wide = 4 * HIDDEN
        self.dense = nn.Sequential(nn.Linear(HIDDEN, wide), nn.GELU(), nn.Linear(wide, HIDDEN))
        self.norm = nn.LayerNorm(HIDDEN)

    def forward(self, x: Tensor) -> Tensor:
        h = self.mixing(x)
        y: Tensor = self.norm(h + self.dense(h))
        return y


class Classifier(nn.Module):
    """Embedding with positions, two blocks, the mean over tokens, two classes."""

    def __init__(self, *mixings: nn.Module) -> None:
        super().__init__()
        self.embed = nn.Embedding(VOCABULARY, HIDDEN)
        self.positions = nn.Parameter(0.02 * torch.randn(2 * HALF, HIDDEN))
        self.blocks = nn.Sequential(*(Block(mixing) for mixing in mixings))
        self.head = nn.Linear(HIDDEN, 2)

    def forward(self, tokens: Tensor) -> Tensor:
        logits: Tensor = self.head(self.blocks(self.embed(tokens) + self.positions).mean(1))
        return logits


def batch(size: int, chance: torch.Generator) -> tuple[Tensor, Tensor]:
    """Tokens [size, 2 HALF] and labels [size]: 1 where the second half repeats the first."""
    first, other = torch.randint(VOCABULARY, (2, size, HALF), generator=chance)
    labels = torch.randint(2, (size,), generator=chance)
    return torch.cat([first, torch.where(labels[:, None] == 1, first, other)], 1), labels


def train(model: nn.Module, steps: int) -> tuple[float, float]:
    """Accuracy on 1000 fresh sequences, and the seconds that training took."""
    chance = torch.Generator().manual_seed(0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    start = time.perf_counter()
    for _ in range(steps):
        tokens, labels = batch(64, chance)
        loss = nn.functional.cross_entropy(model(tokens), labels)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        optimizer.zero_grad()
    seconds = time.perf_counter() - start
    tokens, labels = batch(1000, chance)
    with torch.no_grad():
        return (model.eval()(tokens).argmax(1) == labels).float().mean().item(), seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=150, help="training steps (default 150)")
    steps = parser.parse_args().steps
    if steps < 1:
        parser.error(f"--steps must be at least 1, got {steps}")
    for name, mixing in (
        ("attention", lambda: SelfAttention(HIDDEN)),
        ("Fourier", lambda: FusedFourierMix(HIDDEN)),  # the one line that changes
    ):
        torch.manual_seed(0)
        model = Classifier(mixing(), mixing())
        accuracy, seconds = train(model, steps)
        parameters = sum(p.numel() for p in model.parameters())
        print(f"{name:9}  accuracy {accuracy:.3f}  {parameters:7,} parameters  {seconds:5.1f} s")


if __name__ == "__main__":
    main()
