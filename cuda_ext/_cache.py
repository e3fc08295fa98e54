"""Compiled kernels on disk, private to the user and shared by all processes of the user without a lock.

One file for each kernel, named by the hash of everything that the compiled code depends on: nothing is ever
out of date, and what is not asked for again just lies there. A file is written under another name and then
renamed, so that a reader sees all of it or none; two processes that compile the same kernel write the same
file twice. It begins with a checksum, because what is loaded runs on the GPU: a damaged one is built again.
"""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

_MAGIC = b"sktime-sdtw kernel 1\n"
_DIGEST_SIZE = 32
_SUFFIX = ".kernel"


class Binary(NamedTuple):
    """A compiled kernel: for which architecture ("sm_90": cubin, "compute_120": PTX), and the code."""

    architecture: str
    code: bytes


def key_of(parts: Iterable[str]) -> str:
    """The hash of some texts, each with its length: no two lists of texts run together into the same key."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode()
        digest.update(len(data).to_bytes(8, "little") + data)
    return digest.hexdigest()


def default_folder() -> Path | None:
    """Where kernels are kept: in $SKTIME_SDTW_CACHE, or in the user's folder for caches, if there is one."""
    chosen = os.environ.get("SKTIME_SDTW_CACHE")
    if chosen:
        return Path(chosen).absolute() / "kernels"
    # As the XDG specification has it, a relative path is ignored.
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if not base.is_absolute():
        try:
            base = Path.home() / ".cache"
        except RuntimeError:  # a user without a home, as containers have them
            return None
    return base / "sktime_sdtw" / "kernels"


class KernelCache:
    """Compiled kernels by key, in memory and in a folder.

    Parameters
    ----------
    folder : path, default=None
        Made when the first kernel is written, for the user alone (0700). None takes `default_folder()`.

    Attributes
    ----------
    problem : str or None
        Why the folder is not used, where it is not: kernels then live as long as the process.
    """

    def __init__(self, folder: str | Path | None = None) -> None:
        self.folder = default_folder() if folder is None else Path(folder)
        self.problem = None if self.folder else "the user has no home folder; set SKTIME_SDTW_CACHE"
        self._known: dict[str, Binary] = {}
        self._building: dict[str, threading.Lock] = {}
        self._lock = threading.Lock()

    def get(self, key: str, build: Callable[[], Binary]) -> Binary:
        """The kernel of this key; built, and kept, where it is not there or damaged.

        Parameters
        ----------
        key : str
            From `key_of`.
        build : callable
            Called by one thread at a time for each key.
        """
        found = self._known.get(key)
        if found is not None:
            return found
        with self._lock:
            building = self._building.setdefault(key, threading.Lock())
        with building:
            found = self._known.get(key) or self._read(key)
            if found is None:
                found = build()
                self._write(key, found)
            self._known[key] = found
        return found

    def _read(self, key: str) -> Binary | None:
        if self.folder is None or self._refuse(self.folder):
            return None
        path = self.folder / f"{key}{_SUFFIX}"
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            self.problem = f"{path} cannot be read: {error.strerror}"
            return None
        return _unpack(data, key)  # a damaged file is written anew

    def _write(self, key: str, binary: Binary) -> None:
        if self.folder is None:
            return
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if self._refuse(self.folder):
                return
            # Created for the user alone; in the same folder, since a rename must not cross file systems.
            handle, name = tempfile.mkstemp(prefix=".new-", dir=self.folder)
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(_pack(binary, key))
                Path(name).replace(self.folder / f"{key}{_SUFFIX}")
            except BaseException:
                Path(name).unlink(missing_ok=True)
                raise
        except OSError as error:
            self.problem = f"{self.folder} cannot be written: {error.strerror}"

    def _refuse(self, folder: Path) -> bool:
        """Whether others can write to the folder: whoever does decides what runs in this process."""
        if not hasattr(os, "getuid"):
            return False
        try:
            status = folder.stat()
        except OSError:
            return False  # not there yet, or reading and writing will say what is wrong
        if status.st_uid != os.getuid():
            self.problem = f"{folder} belongs to another user"
        elif status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            self.problem = f"other users can write to {folder}; empty it, and: chmod 700 {folder}"
        else:
            return False
        return True

    def check(self) -> str | None:
        """Try the folder by writing to it: what is wrong with it, or None."""
        if self.folder is not None:
            self.problem = None
            self._write("check", Binary("none", b""))
            if self.problem is None:
                (self.folder / f"check{_SUFFIX}").unlink(missing_ok=True)
        return self.problem

    def size(self) -> tuple[int, int]:
        """Number of kernels on disk and their bytes."""
        if self.folder is None:
            return 0, 0
        try:
            sizes = [path.stat().st_size for path in self.folder.glob(f"*{_SUFFIX}")]
        except OSError:
            return 0, 0
        return len(sizes), sum(sizes)


def _pack(binary: Binary, key: str) -> bytes:
    body = f"{key}\n{binary.architecture}\n".encode() + binary.code
    return _MAGIC + hashlib.sha256(body).digest() + body


def _unpack(data: bytes, key: str) -> Binary | None:
    begin = len(_MAGIC) + _DIGEST_SIZE
    body = data[begin:]
    if data[:begin] != _MAGIC + hashlib.sha256(body).digest():
        return None
    written, architecture, code = body.split(b"\n", 2)
    return Binary(architecture.decode(), code) if written.decode() == key else None
