"""One wrong setting as one sentence: which variable, what it holds, what it may hold."""

import re
from collections.abc import Mapping
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

_NOUNS: dict[Any, str] = {bool: "true or false", int: "a whole number", float: "a number", Path: "a path"}


def explain(problem: ErrorDetails, fields: Mapping[str, FieldInfo]) -> str:
    """A secret is never repeated: of it the sentence only says what it should be."""
    name = str(problem["loc"][0])
    kind, _ = _unwrap(fields[name])
    cause = problem.get("ctx", {}).get("error")
    allowed = str(cause) if isinstance(cause, ValueError) else allowed_values(fields[name])
    if kind is SecretStr:
        return f"{name} must be {allowed}; what it holds is something else (not shown, as it is a secret)."
    given = re.sub(r"//[^@/]*@", "//***@", str(problem["input"]))
    return f"{name} is {given!r}; it must be {allowed}."


def allowed_values(field: FieldInfo) -> str:
    """What the variable may hold, as a noun phrase: "a whole number from 1 to 100"."""
    kind, description = _unwrap(field)
    if get_origin(kind) is Literal:
        return "one of " + ", ".join(str(value) for value in get_args(kind))
    noun = description or _NOUNS.get(kind, "text")
    bounds: dict[str, Any] = {}
    for constraint in field.metadata:
        bounds |= {name: getattr(constraint, name) for name in ("gt", "ge", "le") if hasattr(constraint, name)}
    if "gt" in bounds:
        return f"{noun} above {bounds['gt']} and up to {bounds['le']}"
    return f"{noun} from {bounds['ge']} to {bounds['le']}" if "ge" in bounds else noun


def _unwrap(field: FieldInfo) -> tuple[Any, str | None]:
    """The plain type of `Annotated[X, …] | None`, and the description given inside."""
    kind: Any = field.annotation
    description = field.description
    while get_origin(kind) in (Union, UnionType, Annotated):
        if get_origin(kind) is Annotated:
            kind, *notes = get_args(kind)
            description = description or next((n.description for n in notes if isinstance(n, FieldInfo)), None)
        else:
            kind = next(part for part in get_args(kind) if part is not type(None))
    return kind, description
