"""Who looks into a call of an operator: the one place that says which way of calling it is right.

* While torch compiles or exports, the operators themselves are to be seen.
* ``torch.func`` and forward mode do not look into registered operators: they need autograd functions.
* Where nobody looks, the engine may be called without any operator, which saves about half of what a call
  costs beside the work.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

_func = torch._C._are_functorch_transforms_active
# How many tools watch every operator (FakeTensorMode, counters of operations); they must see it called.
_watchers = getattr(torch._C, "_len_torch_dispatch_stack", lambda: 1)
_PLAIN = {Tensor, torch.nn.Parameter}


def is_transformed() -> bool:
    """Whether torch.func transforms functions, or a level of forward mode is open and listened to."""
    return _func() or (forward_ad._current_level >= 0 and torch._C._is_fwd_grad_enabled())


def is_plain(x: Any) -> bool:
    """Whether this is a tensor of torch's own class whose numbers stand in its memory as they are."""
    return type(x) in _PLAIN and not x.is_neg() and not x._is_zerotensor()


def is_watched() -> bool:
    """Whether somebody takes down which operators are called."""
    return bool(_watchers()) or torch.jit.is_tracing()
