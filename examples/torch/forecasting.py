"""Train one forecaster with the mean squared error, with Soft-DTW and with DILATE, and compare the results.

    python examples/torch/forecasting.py
    python examples/torch/forecasting.py --epochs 5 --series 20 --synthetic

Without --synthetic the data are Trace of the UCR archive, from the wheel of tslearn. A network sees the
first part of a series and predicts the rest. Trace has sudden drops: where the time of a drop cannot be
known exactly, the mean squared error blurs it. The table shows all three measures for each loss.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import torch
from torch import Tensor

from sktime_sdtw.functional import dtw, shape_and_time
from sktime_sdtw.nn import DILATELoss, SoftDTWLoss


def load(synthetic: bool, most: int) -> tuple[Tensor, Tensor]:
    """Training and test series, (n, timestamps, 1), z-normalised, every other time step."""
    if synthetic:
        from sktime_sdtw.datasets import make_warped

        X, _ = make_warped(2 * most, length=100, n_classes=2, noise=0.05, random_state=0)
        parts = [X[:most], X[most:]]
    else:
        from sktime_sdtw.datasets import load_trace

        trace = load_trace()
        parts = [trace.X_train[:most, ::2], trace.X_test[:, ::2]]
    tensors = [torch.as_tensor(part, dtype=torch.float32) for part in parts]
    tensors = [part if part.dim() == 3 else part[..., None] for part in tensors]
    return tuple((t - t.mean(1, keepdim=True)) / t.std(1, keepdim=True) for t in tensors)


class Forecaster(torch.nn.Module):
    """A recurrent encoder, and a linear map to all time steps of the future."""

    def __init__(self, horizon: int, width: int = 32) -> None:
        super().__init__()
        self.encoder = torch.nn.GRU(1, width, batch_first=True)
        self.head = torch.nn.Sequential(
            torch.nn.Linear(width, 64), torch.nn.ReLU(), torch.nn.Linear(64, horizon)
        )

    def forward(self, past: Tensor) -> Tensor:
        """Predict what follows."""
        return self.head(self.encoder(past)[1][-1])[..., None]


def main(arguments: Sequence[str] | None = None) -> dict[str, dict[str, float]]:
    """Return the test measures of each loss."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--epochs", type=int, default=200)
    parser.add_argument("--series", type=int, default=100, help="how many to train with")
    parser.add_argument("--past", type=float, default=0.6, help="the part of a series that is seen")
    parser.add_argument("--gamma", type=float, default=0.01)
    parser.add_argument("--alpha", type=float, default=0.5, help="the weight of the shape in DILATE")
    parser.add_argument("--synthetic", action="store_true", help="warped shapes in the place of Trace")
    options = parser.parse_args(arguments)

    train, test = load(options.synthetic, options.series)
    seen = int(options.past * train.shape[1])
    losses: dict[str, torch.nn.Module] = {
        "MSE": torch.nn.MSELoss(),
        "Soft-DTW": SoftDTWLoss(gamma=options.gamma),
        "DILATE": DILATELoss(alpha=options.alpha, gamma=options.gamma),
    }
    results = {}
    for name, loss in losses.items():
        torch.manual_seed(0)
        model = Forecaster(train.shape[1] - seen)
        optimiser = torch.optim.Adam(model.parameters(), lr=3e-3)
        for _ in range(options.epochs):
            for batch in train[torch.randperm(len(train))].split(25):
                optimiser.zero_grad()
                loss(model(batch[:, :seen]), batch[:, seen:]).backward()
                optimiser.step()
        with torch.no_grad():
            predicted, truth = model(test[:, :seen]), test[:, seen:]
            results[name] = {
                "MSE": float((predicted - truth).square().mean()),
                "DTW": float(dtw(predicted, truth).mean()),
                "time": float(shape_and_time(predicted, truth, gamma=options.gamma).time.mean()),
            }
        print(f"{name:9}", "  ".join(f"{key} {value:8.4f}" for key, value in results[name].items()))
    return results


if __name__ == "__main__":
    main()
