"""Commands with a limit: what they print is kept as it comes, and what they started ends with them."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple


class Done(NamedTuple):
    """Exit status (None: stopped by the limit), all that was printed, and seconds."""

    code: int | None
    output: str
    seconds: float


def _by_itself() -> None:
    """In a group of its own, and ended by the system if this process is."""
    os.setpgrp()
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


class Command:
    """A command that runs, in a group of processes of its own.

    Parameters
    ----------
    words : list of str
    limit : float
        Seconds.
    cwd : path
    environment : dict, default=None
        Added to that of this process.
    """

    def __init__(
        self, words: list[str], limit: float, *, cwd: Path, environment: dict[str, str] | None = None
    ) -> None:
        self.words = words
        self._output = tempfile.NamedTemporaryFile(prefix="output-", delete=False)  # noqa: SIM115
        self._begin = time.monotonic()
        self._until = self._begin + max(limit, 1)
        self._process = subprocess.Popen(
            words,
            cwd=cwd,
            env={**os.environ, "PYTHONUNBUFFERED": "1", **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=subprocess.STDOUT,
            preexec_fn=_by_itself,
        )

    def running(self) -> bool:
        """Whether it still runs and may."""
        return self._process.poll() is None and time.monotonic() < self._until

    def stop(self) -> Done:
        """End it, unless it has ended, with all that it started."""
        code = self._process.poll()
        with suppress(ProcessLookupError, PermissionError):  # what it left behind, too
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._output.close()
        output = Path(self._output.name).read_text(errors="replace")
        Path(self._output.name).unlink()
        return Done(code, output, time.monotonic() - self._begin)

    def wait(self) -> Done:
        """Wait for its end or for the limit."""
        while self.running():
            time.sleep(0.05)
        return self.stop()


def run(words: list[str], limit: float, *, cwd: Path, environment: dict[str, str] | None = None) -> Done:
    """Run a command to its end, or to the limit."""
    return Command(words, limit, cwd=cwd, environment=environment).wait()


def lines_of(path: Path, at: int) -> tuple[list[str], int]:
    """The whole lines of a file from a place on, and the place behind them."""
    with path.open("rb") as file:
        file.seek(at)
        data = file.read()
    end = data.rfind(b"\n") + 1
    return data[:end].decode().splitlines(), at + end


def side_by_side(
    commands: Iterator[tuple[Any, Callable[[], Command]]], workers: int, until: float
) -> Iterator[tuple[Any, Done]]:
    """Run commands, so many at a time, in their order; each with its key as it ends.

    None is started that would have less than ten seconds, `until` by time.monotonic().
    """
    active: list[tuple[Any, Command]] = []
    more = True
    while active or more:
        while more and len(active) < workers:
            following = next(commands, None) if time.monotonic() < until - 10 else None
            if following is None:
                more = False
            else:
                key, start = following
                active.append((key, start()))
        ended = [(key, command) for key, command in active if not command.running()]
        for entry in ended:
            active.remove(entry)
            yield entry[0], entry[1].stop()
        if not ended:
            time.sleep(0.05)
