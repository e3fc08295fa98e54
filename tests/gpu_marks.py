"""What tests of tensors on a GPU are marked with."""

from __future__ import annotations

import pytest
import torch


def _why_not() -> str:
    if not torch.cuda.is_available():
        return "torch sees no GPU"
    from sktime_sdtw.cuda_ext._devices import device_indices

    try:
        device_indices("cuda")
    except RuntimeError as error:
        return str(error)
    return ""


needs_gpu = [pytest.mark.gpu, pytest.mark.skipif(bool(_why_not()), reason=_why_not())]
