"""Train an embedding for alignment on pairs with known warps: DecDTW, Soft-DTW, DILATE, and plain L2.

    python benchmarks/learned_alignment.py                 all tasks and losses, some minutes on one core
    python benchmarks/learned_alignment.py --steps 20      a quick try

Tasks: "audio", scores of notes and performances of them with a tempo of their own, among channels that have
nothing to do with it; and "trace", series of the UCR set Trace (from the wheel of tslearn) and what known
warps and noise make of them. The losses:

* DecDTW: the mean distance of the optimal warp of the embedded pair from the true one, with the embedded
  source read along cubics: corners of lines would hold many knots, and take their gradients.
* Soft-DTW: the cost along the true path minus soft-DTW, that is minus the log of the path's probability.
* DILATE: the expected squared distance of the soft alignment from the true warp, plus a share of soft-DTW.
* L2: the distance along the true warp, relative to that at random times, without which all would shrink.

All embeddings are the same, start the same, see the same pairs, and are judged alike: on pairs not seen, by
the time error and the time deviation of the optimal warp, with the weight of its penalty chosen on the pairs
of the training.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sktime_sdtw import gdtw, time_deviation, time_error
from sktime_sdtw.datasets import load_trace
from sktime_sdtw.functional import soft_dtw, soft_dtw_alignment

N, M = 120, 100
REGS = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0)


def known_warps(rng: np.random.Generator, n: int) -> Any:
    """Increasing maps of [0, 1] onto itself at M times, of a tempo that changes smoothly."""
    t = np.linspace(0, 1, M)
    tempo = sum(
        rng.normal(size=(n, 1)) * np.sin(np.pi * k * t + 6 * rng.random((n, 1))) / k for k in (1, 2, 3)
    )
    steps = np.exp(0.5 * tempo)[:, 1:]
    return np.concatenate([np.zeros((n, 1)), np.cumsum(steps, 1) / steps.sum(1, keepdims=True)], axis=1)


def make_audio(rng: np.random.Generator, n: int) -> tuple[Any, Any, Any]:
    """Performances (n, N, 18), scores (n, M, 18), warps: 12 pitches that ring on, 6 channels of nuisance."""
    warps = known_warps(rng, n)
    x, y = 0.8 * rng.normal(size=(n, N, 18)).cumsum(1) / 6, 0.8 * rng.normal(size=(n, M, 18)).cumsum(1) / 6
    s, t = np.linspace(0, 1, N), np.linspace(0, 1, M)
    for i in range(n):
        onsets = np.sort(rng.random(20))
        pitches = rng.integers(0, 12, 20)
        x[i, :, :12], y[i, :, :12] = 0, 0
        for onset, pitch in zip(onsets, pitches, strict=True):
            for signal, times, start in ((x, s, np.interp(onset, t, warps[i])), (y, t, onset)):
                after = times - start
                loudness = rng.uniform(0.3, 1.5)
                signal[i, :, pitch] += loudness * np.where(
                    after >= 0, np.exp(-np.maximum(after, 0) / 0.07), 0
                )
        x[i, :, :12] += 0.25 * rng.normal(size=(N, 12))
    return x, y, warps


def make_trace(rng: np.random.Generator, n: int, series: Any) -> tuple[Any, Any, Any]:
    """Series of Trace at known warped times, in 3 channels with noise and drifts; the series themselves."""
    warps = known_warps(rng, n)
    s, t, grid = np.linspace(0, 1, N), np.linspace(0, 1, M), np.linspace(0, 1, series.shape[1])
    x, y = np.empty((n, N, 5)), np.empty((n, M, 5))
    for i, row in enumerate(series[rng.integers(0, len(series), n)]):
        clean_x = np.interp(np.interp(s, warps[i], t), grid, row)
        clean_y = np.interp(t, grid, row)
        for signal, clean in ((x, clean_x), (y, clean_y)):
            size = len(clean)
            signal[i] = rng.normal(size=(size, 5)).cumsum(0) * 2 / np.sqrt(size)
            signal[i, :, 0] = clean + 0.15 * rng.normal(size=size)
            signal[i, :, 1] = rng.uniform(0.5, 2) * clean + signal[i, :, 1]
    return x, y, warps


def pick(values: Tensor, times: Tensor) -> Tensor:
    """Embedded signals (n, N, d) at times in [0, 1], (n, M)."""
    place = times * (values.shape[1] - 1)
    k = place.detach().floor().long().clamp(0, values.shape[1] - 2)
    a = (place - k)[:, :, None]
    index = k[:, :, None].expand(-1, -1, values.shape[2])
    return values.gather(1, index) * (1 - a) + values.gather(1, index + 1) * a


def dec_dtw_loss(x: Tensor, y: Tensor, truth: Tensor) -> Tensor:
    return time_error(gdtw(x, y, reg=1.0, interpolation="cubic").values, truth).mean()


def costs_of(x: Tensor, y: Tensor) -> Tensor:
    return (x[:, :, None] - y[:, None]).square().sum(-1)


def true_cells(truth: Tensor) -> Tensor:
    """Matrices (n, N, M) of ones along the true path, made of steps that soft-DTW can go."""
    cells = torch.zeros(len(truth), N, M)
    rows = (truth * (N - 1)).round().long()
    for b in range(len(truth)):
        last = 0
        for j in range(M):
            for i in range(min(last + 1, int(rows[b, j])) if j else 0, int(rows[b, j]) + 1):
                cells[b, i, j] = 1
            last = int(rows[b, j])
    return cells


def soft_dtw_loss(x: Tensor, y: Tensor, truth: Tensor) -> Tensor:
    costs = costs_of(x, y)
    return (
        (true_cells(truth) * costs).sum((1, 2)) - soft_dtw(costs, cost="precomputed", gamma=1.0)
    ).mean() / M


def dilate_loss(x: Tensor, y: Tensor, truth: Tensor) -> Tensor:
    value, alignment = soft_dtw_alignment(costs_of(x, y), cost="precomputed", gamma=0.1)
    distance = (torch.linspace(0, 1, N)[None, :, None] - truth[:, None, :]).square()
    return (alignment * distance).sum((1, 2)).mean() / M + 1e-4 * value.mean() / M


def l2_loss(x: Tensor, y: Tensor, truth: Tensor) -> Tensor:
    near = (pick(x, truth) - y).square().mean()
    far = (pick(x, torch.rand_like(truth)) - y).square().mean()
    return near / (far + 1e-6)


LOSSES = {
    "DecDTW": dec_dtw_loss,
    "Soft-DTW": soft_dtw_loss,
    "DILATE": dilate_loss,
    "L2 along the truth": l2_loss,
}


def make_embedding(channels: int, seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv1d(channels, 16, 7, padding="same", padding_mode="replicate"),
        nn.ReLU(),
        nn.Conv1d(16, 8, 5, padding="same", padding_mode="replicate"),
        nn.InstanceNorm1d(8),
    )


def embed(embedding: nn.Module, signal: Tensor) -> Tensor:
    embedded: Tensor = embedding(signal.transpose(1, 2)).transpose(1, 2)
    return embedded


def judge(embedding: nn.Module | None, data: Any, reg: float) -> tuple[float, float]:
    x, y, truth = data
    with torch.no_grad():
        a, b = (x, y) if embedding is None else (embed(embedding, x), embed(embedding, y))
        warps = gdtw(a, b, reg=reg).values
    return float(time_error(warps, truth).mean()), float(time_deviation(warps, truth).mean())


def run(task: str, steps: int, seed: int) -> dict[str, dict[str, float]]:
    rng = np.random.default_rng(seed)
    if task == "audio":
        made = [make_audio(rng, 64), make_audio(rng, 32)]
    else:
        trace = load_trace()
        made = [make_trace(rng, 64, trace.X_train), make_trace(rng, 32, trace.X_test)]
    train, test = ([torch.tensor(array, dtype=torch.float32) for array in one] for one in made)
    results = {}
    for name in ("no training", *LOSSES):
        embedding = make_embedding(train[0].shape[2], seed)
        optimizer = torch.optim.Adam(embedding.parameters(), lr=3e-3)
        order = torch.Generator().manual_seed(seed)
        for _ in range(steps if name in LOSSES else 0):
            rows = torch.randperm(64, generator=order)[:8]
            x, y, truth = (array[rows] for array in train)
            loss = LOSSES[name](embed(embedding, x), embed(embedding, y), truth)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(embedding.parameters(), 1.0)
            optimizer.step()
        best = min(REGS, key=lambda reg: judge(embedding, train, reg)[0])
        error, deviation = judge(embedding, test, best)
        results[name] = {"time error": error, "time deviation": deviation, "reg": best}
    return results


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--tasks", nargs="+", default=["audio", "trace"], choices=["audio", "trace"])
    parser.add_argument("--save", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    saved: dict[str, Any] = {}
    for task in arguments.tasks:
        runs = [run(task, arguments.steps, seed) for seed in range(arguments.seeds)]
        saved[task] = runs
        print(f"{task}: mean over {len(runs)} seeds of the test pairs, in thousandths of the duration")
        for name in runs[0]:
            error, deviation = (
                [1e3 * one[name][metric] for one in runs] for metric in ("time error", "time deviation")
            )
            for metric, values in (("time error", error), ("time deviation", deviation)):
                print(f"  {name:20s} {metric:15s} {np.mean(values):7.1f} ± {np.std(values):4.1f}", flush=True)
    if arguments.save:
        arguments.save.write_text(json.dumps(saved, indent=2) + "\n")


if __name__ == "__main__":
    main()
