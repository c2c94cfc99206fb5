"""The lines that could not be imported: a CSV of line number, reason, and the line exactly as it was."""

import csv
import io
import os
from collections import Counter
from pathlib import Path
from typing import BinaryIO, Self

from crm_sync.errors import IntakeError
from crm_sync.intake.records import Problem, Record


class Rejects:
    """A context manager. The file appears under its name only when `keep()` says that the import counts."""

    def __init__(self, path: Path, *, source: Path) -> None:
        if path.absolute() == source.absolute():
            raise IntakeError(f"The rejected lines cannot go into {path} itself; choose another file for them.")
        self.path = path
        self.count = 0
        self.reasons: Counter[str] = Counter()
        self._unfinished = path.with_name(f"{path.name}.{os.getpid()}.unfinished")
        self._file: BinaryIO | None = None

    def add(self, record: Record, problem: Problem) -> None:
        try:
            if self._file is None:
                self._file = self._unfinished.open("wb")
                self._file.write(_line("line", "reason", "raw"))
            # surrogateescape: bytes that are not UTF-8 come out as they went in
            raw = record.raw.decode("utf-8", "surrogateescape")
            self._file.write(_line(str(record.line), str(problem), raw))
        except OSError as exc:
            raise self._unwritable(exc) from exc
        self.count += 1
        self.reasons[problem.kind] += 1

    def keep(self) -> None:
        """Give the file its name, safely on the disk. Nothing happens when no line was rejected."""
        if self._file is None:
            return
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._unfinished.replace(self.path)
        except OSError as exc:
            raise self._unwritable(exc) from exc

    def _unwritable(self, exc: OSError) -> IntakeError:
        return IntakeError(f"Rejected lines cannot be written to {self.path}: {exc.strerror}.")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()
            self._unfinished.unlink(missing_ok=True)


def _line(*cells: str) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text).writerow(cells)
    return text.getvalue().encode("utf-8", "surrogateescape")
