"""Settings that hold several values in one text: names with commas between them, pairs, JSON."""

import json
import re
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator
from pydantic_settings import NoDecode

#: Says that there is none, where an empty value means the default.
NONE = "none"

_STREAM = re.compile(r"[a-z][a-z0-9_-]{0,39}")
_OBJECT_TYPE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")
_PROPERTY = re.compile(r"[a-z][a-z0-9_]{0,99}")


def _stream_names(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    names = _parts(value)
    if not all(_STREAM.fullmatch(name) for name in names):
        raise ValueError("names of streams with commas between them, such as contacts,deals, or all")
    return tuple(dict.fromkeys(names))


def _custom_objects(value: Any) -> Any:
    """`name` or `name=object_type` for each."""
    if not isinstance(value, str):
        return value
    if value.strip().lower() == NONE:
        return {}
    pairs = [(name.strip(), object_type.strip() or name.strip()) for name, _, object_type in map(_split, _parts(value))]
    names = [name for name, _ in pairs]
    is_well_formed = all(_STREAM.fullmatch(name) and _OBJECT_TYPE.fullmatch(type_) for name, type_ in pairs)
    if not pairs or not is_well_formed or len(set(names)) < len(names):
        raise ValueError(
            "names of custom objects with commas between them, each as name or name=object_type, such as "
            "memberships,pets=2-1234567; or none"
        )
    return dict(pairs)


def _property_lists(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        lists = json.loads(value)
    except ValueError:
        lists = None
    if not isinstance(lists, dict) or not all(_is_property_list(one) for one in lists.values()):
        raise ValueError('a JSON object of lists of property names, such as {"contacts": ["email", "phone"]}')
    return {stream: tuple(names) for stream, names in lists.items()}


def _is_property_list(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) and _PROPERTY.fullmatch(name) for name in value)


def _parts(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _split(part: str) -> tuple[str, str, str]:
    return part.partition("=")


StreamNames = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_stream_names)]
CustomObjects = Annotated[Mapping[str, str], NoDecode, BeforeValidator(_custom_objects)]
PropertyLists = Annotated[Mapping[str, tuple[str, ...]], NoDecode, BeforeValidator(_property_lists)]
