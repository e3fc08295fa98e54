"""Signatures and log-signatures of paths: functions for NumPy arrays and torch tensors, and estimators.

Names, arguments, shapes and orders of numbers are those of the package Signatory, so that code written for it
runs after changing the import.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._algebra import (
    extract_signature_term,
    extract_words,
    invert_signature,
    multi_signature_combine,
    signature_combine,
)
from ._kernel import signature_kernel, signature_kernel_gram, signature_mmd, signature_score
from ._logsignature import logsignature, logsignature_to_signature, signature_to_logsignature
from ._path import Path
from ._signature import signature
from ._transforms import transform_path
from ._words import all_words, logsignature_channels, lyndon_brackets, lyndon_words, signature_channels

if TYPE_CHECKING:
    from ._kernel_estimator import SignatureKernel as SignatureKernel
    from ._modules import Augment as Augment
    from ._modules import LogSignature as LogSignature
    from ._modules import Signature as Signature
    from ._modules import SignatureToLogSignature as SignatureToLogSignature
    from ._transformer import LogSignatureTransformer as LogSignatureTransformer
    from ._transformer import SignatureTransformer as SignatureTransformer

__all__ = [
    "LogSignatureTransformer",
    "Path",
    "SignatureKernel",
    "SignatureTransformer",
    "all_words",
    "extract_signature_term",
    "extract_words",
    "invert_signature",
    "logsignature",
    "logsignature_channels",
    "logsignature_to_signature",
    "lyndon_brackets",
    "lyndon_words",
    "multi_signature_combine",
    "signature",
    "signature_channels",
    "signature_combine",
    "signature_kernel",
    "signature_kernel_gram",
    "signature_mmd",
    "signature_score",
    "signature_to_logsignature",
    "transform_path",
]

# Looked up on first use: modules of torch, and estimators, which need scikit-learn.
# The second spelling of a name is Signatory's.
_LATER = {
    "Augment": "_modules.Augment",
    "LogSignature": "_modules.LogSignature",
    "LogSignatureTransformer": "_transformer.LogSignatureTransformer",
    "Logsignature": "_modules.LogSignature",
    "Signature": "_modules.Signature",
    "SignatureKernel": "_kernel_estimator.SignatureKernel",
    "SignatureToLogSignature": "_modules.SignatureToLogSignature",
    "SignatureToLogsignature": "_modules.SignatureToLogSignature",
    "SignatureTransformer": "_transformer.SignatureTransformer",
}


def __getattr__(name: str) -> object:
    import importlib

    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _LATER[name].split(".")
    return getattr(importlib.import_module(f"{__name__}.{module}"), attribute)


def __dir__() -> list[str]:
    return sorted({*globals(), *_LATER})
