"""Finding: one thing that the doctor has to say."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


class Severity(enum.StrEnum):
    """PROBLEM: the queue fails or crawls. ADVICE: it works, and could do so better. INFO: good to know."""

    PROBLEM = "problem"
    ADVICE = "advice"
    INFO = "info"


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding about one queue's table.

    code      stable name, such as "index.claim.missing"
    title     what is so, in a sentence
    why       what comes of it, with numbers where they were measured
    sql       what mends it, ready to run, statements apart by ";" and a line's end (CONCURRENTLY: outside a
              transaction); None: no SQL does
    evidence  what was seen
    """

    severity: Severity
    code: str
    title: str
    why: str
    sql: str | None = None
    evidence: Mapping[str, Any] = field(default_factory=dict)

    @property
    def sentence(self) -> str:
        """Title, reason and mend in one line."""
        mend = f" Mend it with: {'; '.join(self.sql.splitlines()).replace(';;', ';')}" if self.sql else ""
        return f"{self.title}. {self.why}{mend}"

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "severity": self.severity.value,
            "code": self.code,
            "title": self.title,
            "why": self.why,
            "sql": self.sql,
            "evidence": dict(self.evidence),
        }


def problem(code: str, title: str, why: str, sql: str | None = None, **evidence: Any) -> Finding:
    return Finding(Severity.PROBLEM, code, title, why, sql, evidence)


def advice(code: str, title: str, why: str, sql: str | None = None, **evidence: Any) -> Finding:
    return Finding(Severity.ADVICE, code, title, why, sql, evidence)


def info(code: str, title: str, why: str, sql: str | None = None, **evidence: Any) -> Finding:
    return Finding(Severity.INFO, code, title, why, sql, evidence)


def statements(*lines: str) -> str:
    """Several statements as one text."""
    return ";\n".join(lines) + ";"
