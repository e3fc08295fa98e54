"""Log-signatures, words, brackets, and the way back to paths."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import signature_oracle as oracle

from sktime_sdtw.signatures import (
    all_words,
    invert_signature,
    logsignature,
    logsignature_channels,
    logsignature_to_signature,
    lyndon_brackets,
    lyndon_words,
    signature,
    signature_channels,
    signature_to_logsignature,
)

SHAPES = [(1, 3), (2, 1), (2, 6), (3, 4), (4, 3), (5, 2)]
MODES = ["words", "brackets", "expand"]


def walks(shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape) * 0.5


def multiply_out(bracket, channels):
    """A bracket as a dict from words to numbers."""
    if isinstance(bracket, int):
        return {(bracket,): 1}
    a, b = (multiply_out(part, channels) for part in bracket)
    total = {}
    for (u, x), (v, y) in itertools.product(a.items(), b.items()):
        total[u + v] = total.get(u + v, 0) + x * y
        total[v + u] = total.get(v + u, 0) - x * y
    return total


@pytest.mark.parametrize(("channels", "depth"), SHAPES)
def test_words(channels, depth):
    words = all_words(channels, depth)
    assert len(words) == signature_channels(channels, depth) == signature_channels(channels, depth, True) - 1
    assert words == sorted(words, key=lambda w: (len(w), w))
    assert lyndon_words(channels, depth) == oracle.lyndon_words(channels, depth)
    assert len(lyndon_words(channels, depth)) == logsignature_channels(channels, depth)


def test_known_numbers_of_words():
    assert logsignature_channels(4, 6) == 964
    assert logsignature_channels(8, 5) == 7764
    with pytest.raises(ValueError, match="overflow"):
        signature_channels(100, 64)
    for bad in (0, -1):
        with pytest.raises(ValueError):
            signature_channels(bad, 2)
        with pytest.raises(ValueError):
            logsignature_channels(2, bad)


@pytest.mark.parametrize(("channels", "depth"), SHAPES)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_modes_against_the_definition(channels, depth, dtype):
    x = walks((3, 6, channels)).astype(dtype)
    tolerance = 1e-12 if dtype == np.float64 else 1e-5
    words = [tuple(word) for word in all_words(channels, depth)]
    lyndon = [tuple(word) for word in lyndon_words(channels, depth)]
    brackets = [multiply_out(bracket, channels) for bracket in lyndon_brackets(channels, depth)]
    found = {mode: logsignature(x, depth, mode=mode) for mode in MODES}
    for i, path in enumerate(x):
        expected = oracle.logarithm(oracle.signatures(path, depth)[-1], channels, depth)
        number = dict(zip(words, expected, strict=True))
        np.testing.assert_allclose(found["expand"][i], expected, rtol=0, atol=tolerance)
        np.testing.assert_allclose(
            found["words"][i], [number[word] for word in lyndon], rtol=0, atol=tolerance
        )
        rebuilt = dict.fromkeys(words, 0.0)
        for coordinate, bracket in zip(found["brackets"][i], brackets, strict=True):
            for word, value in bracket.items():
                rebuilt[word] += coordinate * value
        np.testing.assert_allclose([rebuilt[word] for word in words], expected, rtol=0, atol=5 * tolerance)


def test_brackets_are_standard():
    assert lyndon_brackets(2, 4)[-3:] == [[0, [0, [0, 1]]], [0, [[0, 1], 1]], [[[0, 1], 1], 1]]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("scalar", [False, True])
def test_there_and_back(mode, scalar):
    x = walks((2, 3, 7, 3))
    sig = signature(x, 4, stream=True, scalar_term=scalar)
    log = signature_to_logsignature(sig, 3, 4, stream=True, mode=mode, scalar_term=scalar)
    np.testing.assert_allclose(log, logsignature(x, 4, stream=True, mode=mode), rtol=0, atol=1e-12)
    back = logsignature_to_signature(log, 3, 4, mode=mode, scalar_term=scalar)
    np.testing.assert_allclose(back, sig, rtol=0, atol=1e-11)


def test_arguments_of_signatures():
    x, base = walks((4, 6, 3)), walks((4, 3), seed=1)
    log = logsignature(x, 3, basepoint=base, inverse=True, lengths=[2, 3, 6, 1])
    sig = signature(x, 3, basepoint=base, inverse=True, lengths=[2, 3, 6, 1])
    np.testing.assert_allclose(log, signature_to_logsignature(sig, 3, 3), rtol=0, atol=1e-13)
    np.testing.assert_allclose(logsignature(x, 3, inverse=True), -logsignature(x, 3), rtol=0, atol=1e-12)


@pytest.mark.parametrize("mode", MODES)
def test_shapes_of_empty_batches(mode):
    size = {"expand": 14}.get(mode, 5)
    assert logsignature(np.zeros((0, 4, 2)), 3, mode=mode).shape == (0, size)
    assert logsignature_to_signature(np.zeros((0, size)), 2, 3, mode=mode).shape == (0, 14)


def test_float16():
    x = walks((3, 5, 2)).astype(np.float16)
    expected = logsignature(x.astype(np.float32), 3, basepoint=True).astype(np.float16)
    np.testing.assert_array_equal(logsignature(x, 3, basepoint=True), expected)


def test_errors():
    x = np.zeros((2, 4, 3))
    with pytest.raises(ValueError, match="mode"):
        logsignature(x, 2, mode="hall")
    with pytest.raises(ValueError, match="last dimension"):
        signature_to_logsignature(np.zeros((2, 5)), 3, 2)
    with pytest.raises(ValueError, match="last dimension"):
        logsignature_to_signature(np.zeros((2, 5)), 3, 2)
    with pytest.raises(ValueError, match="floating"):
        signature_to_logsignature(np.zeros((2, 12), dtype=int), 3, 2)


# --- inversion


def test_half_circle_is_recovered():
    t = np.linspace(0, np.pi, 200)
    circle = np.stack([np.cos(t), np.sin(t)], axis=1)[None]
    found = invert_signature(signature(circle, 9), 9, 2, initial_position=circle[:, 0])
    assert found.shape == (1, 10, 2)
    np.testing.assert_allclose(found[0], circle[0, np.linspace(0, 199, 10).round().astype(int)], atol=0.1)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_straight_lines_are_exact_and_keep_their_dtype(dtype):
    line = np.array([[[0.0, 0.0], [1.0, -2.0]]]).astype(dtype)
    found = invert_signature(signature(line, 4), 4, 2)
    assert found.dtype == dtype
    np.testing.assert_allclose(found[0], np.linspace(0, 1, 5)[:, None] * [1, -2], atol=1e-2)


def test_inversion_of_a_closed_path_has_no_nan():
    assert np.isfinite(invert_signature(np.zeros((2, 14)), 3, 2)).all()
    x = walks((3, 4, 2))
    first = invert_signature(signature(x, 1), 1, 2)
    np.testing.assert_allclose(first[:, 1], x[:, -1] - x[:, 0], atol=1e-12)


def test_inversion_refuses_other_channels():
    with pytest.raises(ValueError, match="last dimension"):
        invert_signature(np.zeros((2, 13)), 3, 2)
