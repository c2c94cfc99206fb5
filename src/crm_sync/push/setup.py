"""setup_properties: the account learns the custom properties that the push writes. Running it again changes nothing."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from crm_sync.hubspot.client import HubSpotClient
from crm_sync.hubspot.errors import Conflict
from crm_sync.hubspot.properties import PropertyDefinition
from crm_sync.push.mappings import PROPERTY_GROUP, PropertyNames, contact_properties

OBJECT_TYPE = "contacts"


class State(Enum):
    """DIFFERS: a property of that name but another type is there; it is left as it is."""

    CREATED = "created"
    EXISTS = "exists"
    DIFFERS = "differs"


@dataclass(frozen=True, slots=True)
class SetupStep:
    """One thing that was made or found. `kind` is "group" or "property", `note` explains a DIFFERS."""

    kind: str
    name: str
    state: State
    note: str = ""


async def setup_properties(client: HubSpotClient, names: PropertyNames) -> tuple[SetupStep, ...]:
    """Create the property group and the three contact properties where they are missing.

    Raises HubSpotError; what was created before stays, and the next run goes on from there.
    """
    wanted = contact_properties(names)
    groups = {group.name for group in await client.list_property_groups(OBJECT_TYPE)}
    found = {definition.name: definition for definition in await client.list_properties(OBJECT_TYPE)}
    group_state = State.EXISTS if PROPERTY_GROUP.name in groups else await _create_group(client)
    steps = [SetupStep("group", PROPERTY_GROUP.name, group_state)]
    for definition in wanted:
        existing = found.get(definition.name)
        if existing is None:
            steps.append(SetupStep("property", definition.name, await _create(client, definition)))
        else:
            steps.append(_compared(definition, existing))
    return tuple(steps)


async def _create_group(client: HubSpotClient) -> State:
    try:
        await client.create_property_group(OBJECT_TYPE, PROPERTY_GROUP)
    except Conflict:  # somebody was quicker
        return State.EXISTS
    return State.CREATED


async def _create(client: HubSpotClient, definition: PropertyDefinition) -> State:
    try:
        await client.create_property(OBJECT_TYPE, definition)
    except Conflict:  # somebody was quicker
        return State.EXISTS
    return State.CREATED


def _compared(wanted: PropertyDefinition, existing: PropertyDefinition) -> SetupStep:
    if existing.type == wanted.type:
        return SetupStep("property", wanted.name, State.EXISTS)
    note = f"it is of type {existing.type}, the push writes {wanted.type}"
    return SetupStep("property", wanted.name, State.DIFFERS, note)
