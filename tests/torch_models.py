"""Models with each of the modules, for tests that run them in other processes, which import this file."""

from __future__ import annotations

import torch
from torch.distributed import destroy_process_group, init_process_group
from torch.nn.parallel import DistributedDataParallel

from sktime_sdtw.nn import DecDTW, DILATELoss, SoftDTWDivergenceLoss, SoftDTWLoss
from sktime_sdtw.signatures import Augment, LogSignature, Signature, SignatureToLogSignature

BATCH, CHANNELS = 6, 2


def pairs():
    """Series and targets, (batch, time steps, channels)."""
    generator = torch.Generator().manual_seed(0)
    return tuple(torch.randn(BATCH, n, CHANNELS, generator=generator, dtype=torch.float64) for n in (8, 7))


def learned(value):
    return torch.nn.Parameter(torch.tensor(value, dtype=torch.float64))


class Model(torch.nn.Module):
    """A mapping of series that is learned, and one of our modules after it; a number for each sample."""

    def __init__(self, module, paired):
        super().__init__()
        self.map = torch.nn.Linear(CHANNELS, CHANNELS)
        self.module, self.paired = module, paired
        self.double()

    def forward(self, x, y):
        found = self.module(self.map(x), y) if self.paired else self.module(self.map(x))
        return found.reshape(len(x), -1).square().mean(1)


def models():
    """One for each module, always with the same parameters."""
    torch.manual_seed(1)
    none = {"reduction": "none"}
    augment = Augment(CHANNELS, (4, 3), 3)
    paired = {
        "SoftDTWLoss": SoftDTWLoss(learned(0.3), bandwidth=4, **none),
        "with a buffer": SoftDTWLoss(torch.tensor(0.3), cost="euclidean", **none),
        "SoftDTWDivergenceLoss": SoftDTWDivergenceLoss(learned(0.3), cost="gak", sigma=2.0, **none),
        "DILATELoss": DILATELoss(0.5, learned(0.1), **none),
        "DecDTW": DecDTW(0.1, learn_reg=True, band=0.4),
    }
    single = {
        "Signature": torch.nn.Sequential(augment, Signature(3), SignatureToLogSignature(6, 3)),
        "LogSignature": LogSignature(3, stream=True, mode="brackets"),
    }
    return {
        **{name: Model(module, True) for name, module in paired.items()},
        **{name: Model(module, False) for name, module in single.items()},
    }


def gradients(model, x, y):
    """Gradients of the mean over the batch, by the parameters."""
    model.zero_grad()
    model(x, y).mean().backward()
    return [parameter.grad.clone() for parameter in model.parameters()]


def gradients_in_parallel(rank, count, file):
    """What a process sees after a backward pass over its part of the batch; saved by the first one."""
    init_process_group("gloo", init_method=f"file://{file}", rank=rank, world_size=count)
    x, y = (tensor.chunk(count)[rank] for tensor in pairs())
    found = {name: gradients(DistributedDataParallel(model), x, y) for name, model in models().items()}
    if rank == 0:
        torch.save(found, f"{file}.gradients")
    destroy_process_group()


class Series(torch.utils.data.Dataset):
    """Sample i is what all models say of pair i, computed where it is asked for."""

    def __init__(self):
        self.models = models()

    def __len__(self):
        return BATCH

    def __getitem__(self, i):
        x, y = pairs()
        return {
            name: [gradient.numpy() for gradient in gradients(model, x[i : i + 1], y[i : i + 1])]
            for name, model in self.models.items()
        }
