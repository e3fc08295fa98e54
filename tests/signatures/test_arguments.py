"""Names and arguments are Signatory's: written down from its documentation, in its order."""

from __future__ import annotations

import inspect

import numpy as np
import pytest

from sktime_sdtw import signatures

WANTED = {
    "signature": "path, depth, stream=False, basepoint=False, inverse=False, initial=None, scalar_term=False",
    "logsignature": "path, depth, stream=False, basepoint=False, inverse=False, mode='words'",
    "signature_combine": "sigtensor1, sigtensor2, input_channels, depth, inverse=False, scalar_term=False",
    "multi_signature_combine": "sigtensors, input_channels, depth, inverse=False, scalar_term=False",
    "signature_to_logsignature": (
        "signature, channels, depth, stream=False, mode='words', scalar_term=False"
    ),
    "invert_signature": "signature, depth, channels, initial_position=None",
    "signature_channels": "channels, depth, scalar_term=False",
    "logsignature_channels": "in_channels, depth",
    "extract_signature_term": "sigtensor, channels, depth, scalar_term=False",
    "lyndon_words": "channels, depth",
    "lyndon_brackets": "channels, depth",
    "all_words": "channels, depth",
    "Path": "path, depth, basepoint=False, remember_path=True, scalar_term=False",
    "Path.signature": "self, start=None, end=None",
    "Path.logsignature": "self, start=None, end=None, mode='words'",
    "Path.update": "self, path",
    "Path.size": "self, index=None",
    "Path.signature_size": "self, index=None",
    "Path.logsignature_size": "self, index=None",
    "Path.channels": "self",
    "Path.signature_channels": "self",
    "Path.logsignature_channels": "self",
    "Path.shuffle": "self",
    "Path.shuffle_": "self",
}
MODULES = {
    "Signature": "depth, stream=False, inverse=False, scalar_term=False",
    "Signature.forward": "self, path, basepoint=False, initial=None",
    "LogSignature": "depth, stream=False, inverse=False, mode='words'",
    "LogSignature.forward": "self, path, basepoint=False",
    "LogSignature.prepare": "self, in_channels",
    "SignatureToLogSignature": "channels, depth, stream=False, mode='words', scalar_term=False",
    "SignatureToLogSignature.forward": "self, signature",
    "Augment": (
        "in_channels, layer_sizes, kernel_size, stride=1, padding=0, dilation=1, bias=True, "
        "activation=relu, include_original=True, include_time=True"
    ),
    "Augment.forward": "self, x",
}


def described(name):
    """Arguments that may be passed by place, with defaults; what is ours beyond them is by keyword only."""
    thing = signatures
    for part in name.split("."):
        thing = getattr(thing, part)
    parts = []
    for parameter in inspect.signature(thing).parameters.values():
        if parameter.kind is parameter.KEYWORD_ONLY:
            assert parameter.default is not parameter.empty
            continue
        default = parameter.default
        shown = getattr(default, "__name__", repr(default))
        parts.append(parameter.name if default is parameter.empty else f"{parameter.name}={shown}")
    return ", ".join(parts)


@pytest.mark.parametrize("name", WANTED)
def test_functions(name):
    assert described(name) == WANTED[name]


@pytest.mark.parametrize("name", MODULES)
def test_modules(name):
    pytest.importorskip("torch")
    assert described(name) == MODULES[name]


def test_attributes_of_a_path():
    path = signatures.Path(np.zeros((2, 5, 3)), 2)
    assert (path.depth, path.remember_path, len(path.path)) == (2, True, 1)
    assert (path.shape, path.signature_shape, path.logsignature_shape) == ((2, 5, 3), (2, 4, 12), (2, 4, 6))


def test_words_can_be_looked_up():
    place = {word: i for i, word in enumerate(signatures.all_words(2, 3))}
    assert place[0, 1] == 3
