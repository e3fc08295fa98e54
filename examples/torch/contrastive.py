"""Learn a representation of time series by contrast: classes attract and repel each other under Soft-DTW.

    python examples/torch/contrastive.py
    python examples/torch/contrastive.py --epochs 3 --series 16 --synthetic

Without --synthetic the data are Trace of the UCR archive, from the wheel of tslearn. A small convolutional
network maps each series to a shorter one with several features. Soft-DTW divergences of all pairs of a
batch, `cdist_soft_dtw_divergence`, are the logits of a supervised contrastive loss; gamma is learned with
the network. The nearest neighbour among the training series classifies the test series, before and after.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import torch
from torch import Tensor

from sktime_sdtw.functional import cdist_soft_dtw_divergence


def load(synthetic: bool, most: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Series (n, timestamps, 1) and classes, for training and for the test."""
    if synthetic:
        from sktime_sdtw.datasets import make_warped

        X, y = make_warped(2 * most, length=80, n_classes=3, noise=0.3, random_state=0)
        parts = (X[:most], y[:most], X[most:], y[most:])
    else:
        from sktime_sdtw.datasets import load_trace

        trace = load_trace()
        parts = (trace.X_train[:most], trace.y_train[:most], trace.X_test, trace.y_test)
    x, a, z, b = (torch.as_tensor(part) for part in parts)
    x, z = (t.float() if t.dim() == 3 else t.float()[..., None] for t in (x, z))
    return x, a, z, b


class Encoder(torch.nn.Module):
    """Every fourth time step, with more features; and the temperature to compare them with."""

    def __init__(self, features: int = 4) -> None:
        super().__init__()
        self.layers = torch.nn.Sequential(
            torch.nn.Conv1d(1, 16, 7, stride=2, padding=3),
            torch.nn.ReLU(),
            torch.nn.Conv1d(16, features, 5, stride=2, padding=2),
        )
        self.log_gamma = torch.nn.Parameter(torch.tensor(0.0))

    def forward(self, x: Tensor) -> Tensor:
        """Encode series, each with mean 0 and deviation 1."""
        out = self.layers(x.transpose(1, 2)).transpose(1, 2)
        return (out - out.mean((1, 2), keepdim=True)) / (out.std((1, 2), keepdim=True) + 1e-3)

    def distances(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Divergences of encoded series, for each time step."""
        return cdist_soft_dtw_divergence(x, y, gamma=self.log_gamma.exp(), bandwidth=0.3) / x.shape[1]


def contrast(distances: Tensor, labels: Tensor) -> Tensor:
    """The mean log-probability to pick a series of the own class among all others."""
    others = ~torch.eye(len(labels), dtype=torch.bool)
    alike = (labels[:, None] == labels[None]) & others
    chances = torch.log_softmax((-5 * distances).masked_fill(~others, -torch.inf), dim=1)
    chances = torch.where(alike, chances, 0.0).sum(1) / alike.sum(1).clamp(min=1)
    return -chances[alike.any(1)].mean()


@torch.no_grad()
def accuracy(model: Encoder, x: Tensor, a: Tensor, z: Tensor, b: Tensor) -> float:
    """Of the nearest neighbour."""
    nearest = model.distances(model(z), model(x)).argmin(1)
    return float((a[nearest] == b).float().mean())


def main(arguments: Sequence[str] | None = None) -> tuple[float, float, float]:
    """Return the accuracies before and after, and gamma."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--series", type=int, default=100, help="how many to train with")
    parser.add_argument("--synthetic", action="store_true", help="warped shapes in the place of Trace")
    options = parser.parse_args(arguments)

    torch.manual_seed(0)
    data = load(options.synthetic, options.series)
    x, labels = data[:2]
    model = Encoder()
    before = accuracy(model, *data)
    print(f"untrained: accuracy {before:.3f}")
    optimiser = torch.optim.Adam(model.parameters(), lr=5e-3)
    for epoch in range(options.epochs):
        for rows in torch.randperm(len(x)).split(50):
            optimiser.zero_grad()
            loss = contrast(model.distances(model(x[rows])), labels[rows])
            loss.backward()
            optimiser.step()
        print(f"epoch {epoch + 1}: loss {loss.item():.3f}, gamma {model.log_gamma.exp().item():.3f}")
    after = accuracy(model, *data)
    print(f"trained: accuracy {after:.3f}")
    return before, after, model.log_gamma.exp().item()


if __name__ == "__main__":
    main()
