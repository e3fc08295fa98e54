"""Signatures and log-signatures of paths: functions for NumPy arrays and torch tensors, and estimators.

Names, arguments, shapes and orders of numbers are those of the package Signatory, so that code written for it
runs after changing the import.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._logsignature import logsignature, logsignature_to_signature, signature_to_logsignature
from ._path import Path
from ._signature import (
    extract_signature_term,
    invert_signature,
    multi_signature_combine,
    signature,
    signature_combine,
)
from ._words import all_words, logsignature_channels, lyndon_brackets, lyndon_words, signature_channels

if TYPE_CHECKING:
    from ._modules import Augment as Augment
    from ._modules import LogSignature as LogSignature
    from ._modules import Signature as Signature
    from ._modules import SignatureToLogSignature as SignatureToLogSignature

__all__ = [
    "Path",
    "all_words",
    "extract_signature_term",
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
    "signature_to_logsignature",
]

# Modules of torch, looked up on first use; the second spelling of a name is Signatory's.
_MODULES = {
    "Augment": "Augment",
    "LogSignature": "LogSignature",
    "Logsignature": "LogSignature",
    "Signature": "Signature",
    "SignatureToLogSignature": "SignatureToLogSignature",
    "SignatureToLogsignature": "SignatureToLogSignature",
}


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from . import _modules

    return getattr(_modules, _MODULES[name])


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES})
