"""How a command answers: a sentence for people, or one JSON object for programs."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


def answer(facts: Mapping[str, Any], words: str, *, as_json: bool) -> None:
    """Print one of the two on standard output."""
    import json

    typer.echo(json.dumps(facts, ensure_ascii=False) if as_json else words)


def quantity(number: int, noun: str) -> str:
    """ "1 row", "2,400 rows"."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
