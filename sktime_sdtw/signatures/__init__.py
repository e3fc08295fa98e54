"""Signatures and log-signatures of paths: functions for NumPy arrays and torch tensors, and estimators.

Names, arguments, shapes and orders of numbers are those of the package Signatory, so that code written for it
runs after changing the import.
"""

from __future__ import annotations

from ._logsignature import logsignature, logsignature_to_signature, signature_to_logsignature
from ._signature import (
    extract_signature_term,
    invert_signature,
    multi_signature_combine,
    signature,
    signature_combine,
)
from ._words import all_words, logsignature_channels, lyndon_brackets, lyndon_words, signature_channels

__all__ = [
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
