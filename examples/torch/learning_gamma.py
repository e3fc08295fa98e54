"""Learn gamma, and a prototype for each class, by gradient descent on the error of classification.

    python examples/torch/learning_gamma.py
    python examples/torch/learning_gamma.py --epochs 3 --series 20 --synthetic

Without --synthetic the data are Trace of the UCR archive, from the wheel of tslearn. The logits are
negative Soft-DTW divergences to one prototype a class, so that the cross entropy has a derivative with
respect to the prototypes and to gamma. A grid search would need a training for each gamma; here it is one
more parameter.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import torch
from contrastive import load
from torch import Tensor

from sktime_sdtw.functional import cdist_soft_dtw_divergence


class Prototypes(torch.nn.Module):
    """One series for each class, first the mean of the class, and a temperature."""

    def __init__(self, x: Tensor, labels: Tensor, gamma: float) -> None:
        super().__init__()
        self.series = torch.nn.Parameter(
            torch.stack([x[labels == k].mean(0) for k in range(int(labels.max()) + 1)])
        )
        self.log_gamma = torch.nn.Parameter(torch.tensor(gamma).log())

    def forward(self, x: Tensor) -> Tensor:
        """Logits of the classes."""
        return -cdist_soft_dtw_divergence(x, self.series, gamma=self.log_gamma.exp()) / x.shape[1]


def main(arguments: Sequence[str] | None = None) -> list[float]:
    """Return gamma after each epoch."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--series", type=int, default=100, help="how many to train with")
    parser.add_argument("--gamma", type=float, default=1.0, help="where it starts")
    parser.add_argument("--synthetic", action="store_true", help="warped shapes in the place of Trace")
    options = parser.parse_args(arguments)

    torch.manual_seed(0)
    x, a, z, b = load(options.synthetic, options.series)
    a, b = a - a.min(), b - a.min()
    x, z = x[:, ::2], z[:, ::2]
    model = Prototypes(x, a, options.gamma)
    optimiser = torch.optim.Adam(
        [{"params": [model.series], "lr": 0.02}, {"params": [model.log_gamma], "lr": 0.2}]
    )
    gammas = []
    for epoch in range(options.epochs):
        for rows in torch.randperm(len(x)).split(25):
            optimiser.zero_grad()
            loss = torch.nn.functional.cross_entropy(20 * model(x[rows]), a[rows])
            loss.backward()
            optimiser.step()
        with torch.no_grad():
            right = float((model(z).argmax(1) == b).float().mean())
        gammas.append(model.log_gamma.exp().item())
        print(f"epoch {epoch + 1}: loss {loss.item():.3f}, gamma {gammas[-1]:.4f}, test accuracy {right:.3f}")
    return gammas


if __name__ == "__main__":
    main()
