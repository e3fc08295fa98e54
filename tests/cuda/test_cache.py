"""Compiled kernels on disk."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from sktime_sdtw.cuda_ext import _cache
from sktime_sdtw.cuda_ext._cache import Binary, KernelCache, default_folder, key_of

CODE = Binary("sm_90", bytes(range(256)) * 40)
KEY = key_of(["a kernel"])


def never() -> Binary:
    raise AssertionError("it is in the cache")


def test_kept_in_memory_and_on_disk(tmp_path):
    folder = tmp_path / "a" / "kernels"
    cache = KernelCache(folder)
    assert not folder.exists()
    assert cache.get(KEY, lambda: CODE) == CODE
    assert cache.get(KEY, never) == CODE
    assert KernelCache(folder).get(KEY, never) == CODE
    assert cache.problem is None
    assert cache.size()[0] == 1
    assert cache.size()[1] > len(CODE.code)


def test_private_to_the_user(tmp_path):
    folder = tmp_path / "kernels"
    KernelCache(folder).get(KEY, lambda: CODE)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    (path,) = folder.iterdir()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("damage", [b"", b"x", None, "flip", "other key"])
def test_damaged_file_is_built_again(tmp_path, damage):
    cache = KernelCache(tmp_path / "kernels")
    cache.get(KEY, lambda: CODE)
    path = cache.folder / f"{KEY}.kernel"
    data = path.read_bytes()
    if damage is None:
        path.write_bytes(data[:-100])
    elif damage == "flip":
        path.write_bytes(data[:500] + bytes([data[500] ^ 1]) + data[501:])
    elif damage == "other key":  # whole, but not what its name says
        other = key_of(["another kernel"])
        KernelCache(cache.folder).get(other, lambda: Binary("sm_80", b"other"))
        path.write_bytes((cache.folder / f"{other}.kernel").read_bytes())
    else:
        path.write_bytes(damage)
    assert KernelCache(cache.folder).get(KEY, lambda: CODE) == CODE
    assert path.read_bytes() == data
    assert KernelCache(cache.folder).get(KEY, never) == CODE


def test_key_depends_on_every_part():
    parts = [["ab", "c"], ["a", "bc"], ["abc"], ["abc", ""], ["c", "ab"], []]
    assert len({key_of(p) for p in parts}) == len(parts)
    assert key_of(["ab", "c"]) == key_of(["ab", "c"])


def test_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    cache = KernelCache(tmp_path / "file" / "kernels")
    assert cache.get(KEY, lambda: CODE) == CODE
    assert cache.get(KEY, never) == CODE  # for this process it is kept all the same
    assert "cannot be" in cache.problem
    assert cache.check() == cache.problem
    assert cache.size() == (0, 0)


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
def test_folder_that_others_can_write_to_is_not_used(tmp_path):
    folder = tmp_path / "kernels"
    KernelCache(folder).get(KEY, lambda: CODE)
    folder.chmod(0o777)
    cache = KernelCache(folder)
    built = []
    cache.get(KEY, lambda: built.append(1) or CODE)
    assert built
    assert "chmod 700" in cache.problem


@pytest.mark.skipif(os.name != "posix", reason="owners of POSIX")
def test_folder_of_another_user_is_not_used(tmp_path, monkeypatch):
    folder = tmp_path / "kernels"
    KernelCache(folder).get(KEY, lambda: CODE)
    monkeypatch.setattr(os, "getuid", lambda: folder.stat().st_uid + 1)
    cache = KernelCache(folder)
    built = []
    cache.get(KEY, lambda: built.append(1) or CODE)
    assert built
    assert "another user" in cache.problem


def test_where_it_is(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.delenv("SKTIME_SDTW_CACHE", raising=False)
    assert default_folder() == tmp_path / "home/.cache/sktime_sdtw/kernels"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")  # to be ignored, by the specification
    assert default_folder() == tmp_path / "home/.cache/sktime_sdtw/kernels"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert default_folder() == tmp_path / "xdg/sktime_sdtw/kernels"
    monkeypatch.setenv("SKTIME_SDTW_CACHE", str(tmp_path / "mine"))
    assert default_folder() == tmp_path / "mine/kernels"


def test_user_without_a_home(monkeypatch):
    def no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.delenv("SKTIME_SDTW_CACHE", raising=False)
    monkeypatch.setattr(_cache.Path, "home", no_home)
    cache = KernelCache()
    assert cache.get(KEY, lambda: CODE) == CODE
    assert "SKTIME_SDTW_CACHE" in cache.problem
    assert cache.check() == cache.problem


def test_built_once_by_many_threads(tmp_path):
    cache = KernelCache(tmp_path / "kernels")
    built, begin = [], threading.Barrier(8)

    def build() -> Binary:
        built.append(1)
        return CODE

    def ask() -> None:
        begin.wait()
        assert cache.get(KEY, build) == CODE

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(built) == 1


def test_failed_build_leaves_nothing(tmp_path):
    cache = KernelCache(tmp_path / "kernels")
    with pytest.raises(AssertionError):
        cache.get(KEY, never)
    assert cache.get(KEY, lambda: CODE) == CODE


def test_many_processes_write_and_read_at_once(tmp_path):
    """Each of a few processes writes and reads the same names, large files, with no lock between them."""
    code = """
import sys
from sktime_sdtw.cuda_ext._cache import Binary, KernelCache, key_of
for turn in range(60):
    for name in "abc":
        expected = Binary("sm_90", name.encode() * 200_000)
        cache = KernelCache(sys.argv[1])
        if turn % 3 == 0:
            cache._write(key_of([name]), expected)
        assert cache.get(key_of([name]), lambda: expected) == expected
        assert cache.problem is None, cache.problem
"""
    command = [sys.executable, "-c", code, str(tmp_path / "kernels")]
    running = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(4)]
    for process in running:
        _, error = process.communicate(timeout=120)
        assert process.returncode == 0, error
    assert len(list((tmp_path / "kernels").iterdir())) == 3  # and no temporary file
