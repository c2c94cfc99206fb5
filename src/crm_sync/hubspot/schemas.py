"""Schemas: the custom object types of an account, and the names each goes by."""

from __future__ import annotations

from dataclasses import dataclass

from crm_sync.hubspot.caller import Caller, each
from crm_sync.hubspot.exchange import Json


@dataclass(frozen=True, slots=True)
class ObjectSchema:
    """A custom object type. Every path takes `object_type_id` or `fully_qualified_name`.

    name                  as it was defined, such as membership; not unique among accounts
    object_type_id        2-1234567
    fully_qualified_name  p{portal id}_{name}: what in-line associations and association types are named by
    singular, plural      labels for people, None where the account has none
    """

    name: str
    object_type_id: str
    fully_qualified_name: str
    singular: str | None = None
    plural: str | None = None

    @classmethod
    def of(cls, body: Json) -> ObjectSchema:
        labels = body.get("labels") or {}
        return cls(
            name=body["name"],
            object_type_id=body["objectTypeId"],
            fully_qualified_name=body["fullyQualifiedName"],
            singular=labels.get("singular"),
            plural=labels.get("plural"),
        )


class SchemaCalls(Caller):
    async def list_schemas(self) -> tuple[ObjectSchema, ...]:
        """Every custom object type, in one call. Raises MissingScopes without `crm.schemas.custom.read`."""
        return await self._get("schemas", self._paths.schemas(), each(ObjectSchema.of))
