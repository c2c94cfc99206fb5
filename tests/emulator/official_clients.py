"""The two official clients behind one face, so that one suite can run through both.

Both parse every answer with their own models: the first refuses a missing required field, the second runs with
strict validation of responses. What comes back is their model, written out again with the names of the wire.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import hubspot
import hubspot_sdk
from hubspot.crm.objects import ApiClient as ObjectsApiClient

Json = dict[str, Any]


class ClientError(Exception):
    """A 4xx or 5xx, whichever client reported it."""

    def __init__(self, status: int, body: Json) -> None:
        super().__init__(f"{status} {body}")
        self.status = status
        self.body = body


class OfficialClient(Protocol):
    """Record types by plural name or type id; bodies and answers with the names of the wire."""

    name: str

    def create(self, type_: str, properties: Mapping[str, str], associations: Sequence[Json] = ()) -> Json: ...
    def get(self, type_: str, id_: str, **options: Any) -> Json: ...
    def update(self, type_: str, id_: str, properties: Mapping[str, str], **options: Any) -> Json: ...
    def archive(self, type_: str, id_: str) -> None: ...
    def page(self, type_: str, **options: Any) -> Json: ...
    def search(self, type_: str, request: Json) -> Json: ...
    def merge_contacts(self, primary: str, other: str) -> Json: ...
    def delete_contact_for_good(self, id_: str) -> None: ...
    def batch(self, type_: str, verb: str, body: Json) -> Json | None: ...
    def define_property(self, type_: str, body: Json) -> Json: ...
    def property(self, type_: str, name: str) -> Json: ...
    def properties(self, type_: str) -> list[Json]: ...
    def archive_property(self, type_: str, name: str) -> None: ...
    def groups(self, type_: str) -> list[Json]: ...
    def associate(self, origin: str, id_: str, target: str, other: str) -> Json: ...
    def associate_as(self, origin: str, id_: str, target: str, other: str, types: Sequence[Json]) -> Json: ...
    def associated(self, origin: str, id_: str, target: str, **options: Any) -> Json: ...
    def separate(self, origin: str, id_: str, target: str, other: str) -> None: ...
    def batch_associations(self, origin: str, target: str, verb: str, body: Json) -> Json | None: ...
    def labels(self, origin: str, target: str) -> list[Json]: ...
    def create_label(self, origin: str, target: str, name: str, label: str) -> list[Json]: ...
    def delete_label(self, origin: str, target: str, type_id: int) -> None: ...
    def create_schema(self, body: Json) -> Json: ...
    def schema(self, name: str) -> Json: ...
    def delete_schema(self, name: str) -> None: ...
    def pipelines(self, type_: str) -> list[Json]: ...
    def owners(self) -> Json: ...


class ApiClient:
    """`hubspot-api-client`: v3 and v4 paths, array parameters repeated."""

    name = "hubspot-api-client"

    def __init__(self, url: str, token: str) -> None:
        self._crm = hubspot.Client.create(access_token=token, host=url).crm
        self._serializer = ObjectsApiClient()

    def _do(self, call: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        try:
            answer = call(*arguments, **options)
        except Exception as error:
            if not hasattr(error, "status"):
                raise
            raise ClientError(error.status, json.loads(error.body)) from error
        return self._serializer.sanitize_for_serialization(answer)

    def create(self, type_: str, properties: Mapping[str, str], associations: Sequence[Json] = ()) -> Json:
        body = {"properties": dict(properties), "associations": list(associations)}
        return self._do(self._crm.objects.basic_api.create, type_, body)

    def get(self, type_: str, id_: str, **options: Any) -> Json:
        return self._do(self._crm.objects.basic_api.get_by_id, type_, id_, **options)

    def update(self, type_: str, id_: str, properties: Mapping[str, str], **options: Any) -> Json:
        return self._do(self._crm.objects.basic_api.update, type_, id_, {"properties": dict(properties)}, **options)

    def archive(self, type_: str, id_: str) -> None:
        self._do(self._crm.objects.basic_api.archive, type_, id_)

    def page(self, type_: str, **options: Any) -> Json:
        return self._do(self._crm.objects.basic_api.get_page, type_, **options)

    def search(self, type_: str, request: Json) -> Json:
        return self._do(self._crm.objects.search_api.do_search, type_, request)

    def merge_contacts(self, primary: str, other: str) -> Json:
        body = {"primaryObjectId": primary, "objectIdToMerge": other}
        return self._do(self._crm.contacts.basic_api.merge, body)

    def delete_contact_for_good(self, id_: str) -> None:
        self._do(self._crm.contacts.basic_api.purge, {"objectId": id_})

    def batch(self, type_: str, verb: str, body: Json) -> Json | None:
        return self._do(getattr(self._crm.objects.batch_api, verb), type_, body)

    def define_property(self, type_: str, body: Json) -> Json:
        return self._do(self._crm.properties.core_api.create, type_, body)

    def property(self, type_: str, name: str) -> Json:
        return self._do(self._crm.properties.core_api.get_by_name, type_, name)

    def properties(self, type_: str) -> list[Json]:
        return self._do(self._crm.properties.core_api.get_all, type_)["results"]

    def archive_property(self, type_: str, name: str) -> None:
        self._do(self._crm.properties.core_api.archive, type_, name)

    def groups(self, type_: str) -> list[Json]:
        return self._do(self._crm.properties.groups_api.get_all, type_)["results"]

    def associate(self, origin: str, id_: str, target: str, other: str) -> Json:
        return self._do(self._crm.associations.v4.basic_api.create_default, origin, id_, target, other)

    def associate_as(self, origin: str, id_: str, target: str, other: str, types: Sequence[Json]) -> Json:
        return self._do(self._crm.associations.v4.basic_api.create, origin, id_, target, other, list(types))

    def associated(self, origin: str, id_: str, target: str, **options: Any) -> Json:
        return self._do(self._crm.associations.v4.basic_api.get_page, origin, id_, target, **options)

    def separate(self, origin: str, id_: str, target: str, other: str) -> None:
        self._do(self._crm.associations.v4.basic_api.archive, origin, id_, target, other)

    def batch_associations(self, origin: str, target: str, verb: str, body: Json) -> Json | None:
        verb = {"read": "get_page"}.get(verb, verb)
        return self._do(getattr(self._crm.associations.v4.batch_api, verb), origin, target, body)

    def labels(self, origin: str, target: str) -> list[Json]:
        api = self._crm.associations.v4.schema.definitions_api
        return self._do(api.get_all, origin, target)["results"]

    def create_label(self, origin: str, target: str, name: str, label: str) -> list[Json]:
        api = self._crm.associations.v4.schema.definitions_api
        return self._do(api.create, origin, target, {"name": name, "label": label})["results"]

    def delete_label(self, origin: str, target: str, type_id: int) -> None:
        self._do(self._crm.associations.v4.schema.definitions_api.remove, origin, target, type_id)

    def create_schema(self, body: Json) -> Json:
        return self._do(self._crm.schemas.core_api.create, body)

    def schema(self, name: str) -> Json:
        return self._do(self._crm.schemas.core_api.get_by_id, name)

    def delete_schema(self, name: str) -> None:
        self._do(self._crm.schemas.core_api.archive, name)

    def pipelines(self, type_: str) -> list[Json]:
        return self._do(self._crm.pipelines.pipelines_api.get_all, type_)["results"]

    def owners(self) -> Json:
        return self._do(self._crm.owners.owners_api.get_page)


class SdkClient:
    """`hubspot-sdk`: dated paths, array parameters comma-joined."""

    name = "hubspot-sdk"

    def __init__(self, url: str, token: str) -> None:
        self._client = hubspot_sdk.HubSpot(
            access_token=token, base_url=url, max_retries=0, _strict_response_validation=True
        )
        self._crm = self._client.crm
        self._objects = self._crm.objects.custom

    @contextmanager
    def _errors(self) -> Any:
        try:
            yield
        except hubspot_sdk.APIStatusError as error:
            raise ClientError(error.status_code, error.response.json()) from error

    def _do(self, call: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        with self._errors():
            answer = call(*arguments, **options)
        if answer is None:
            return None
        return json.loads(answer.to_json(use_api_names=True, exclude_unset=True))

    def create(self, type_: str, properties: Mapping[str, str], associations: Sequence[Json] = ()) -> Json:
        return self._do(self._objects.create, type_, properties=dict(properties), associations=list(associations))

    def get(self, type_: str, id_: str, **options: Any) -> Json:
        return self._do(self._objects.get, id_, object_type=type_, **options)

    def update(self, type_: str, id_: str, properties: Mapping[str, str], **options: Any) -> Json:
        return self._do(self._objects.update, id_, object_type=type_, properties=dict(properties), **options)

    def archive(self, type_: str, id_: str) -> None:
        self._do(self._objects.delete, id_, object_type=type_)

    def page(self, type_: str, **options: Any) -> Json:
        return self._do(self._objects.list, type_, **options)

    def search(self, type_: str, request: Json) -> Json:
        sorts = [("-" if sort["direction"] == "DESCENDING" else "") + sort["propertyName"] for sort in request["sorts"]]
        return self._do(
            self._objects.search,
            type_,
            after=request["after"],
            filter_groups=request["filterGroups"],
            limit=request["limit"],
            properties=request["properties"],
            sorts=sorts,
        )

    def merge_contacts(self, primary: str, other: str) -> Json:
        return self._do(self._crm.objects.contacts.merge, primary_object_id=primary, object_id_to_merge=other)

    def delete_contact_for_good(self, id_: str) -> None:
        self._do(self._crm.objects.contacts.gdpr_delete, object_id=id_)

    def batch(self, type_: str, verb: str, body: Json) -> Json | None:
        call = getattr(self._objects.batch, {"read": "get", "archive": "delete"}.get(verb, verb))
        options: Json = {"inputs": body["inputs"]}
        if verb == "read":
            options |= {"properties": body["properties"], "properties_with_history": []}
            if "idProperty" in body:
                options["id_property"] = body["idProperty"]
        return self._do(call, type_, **options)

    def define_property(self, type_: str, body: Json) -> Json:
        named = {"fieldType": "field_type", "groupName": "group_name", "hasUniqueValue": "has_unique_value"}
        options = {named.get(key, key): value for key, value in body.items()}
        return self._do(self._crm.properties.create, type_, **options)

    def property(self, type_: str, name: str) -> Json:
        return self._do(self._crm.properties.get, name, object_type=type_)

    def properties(self, type_: str) -> list[Json]:
        return self._do(self._crm.properties.list, type_)["results"]

    def archive_property(self, type_: str, name: str) -> None:
        self._do(self._crm.properties.delete, name, object_type=type_)

    def groups(self, type_: str) -> list[Json]:
        return self._do(self._crm.properties.groups.list, type_)["results"]

    def associate(self, origin: str, id_: str, target: str, other: str) -> Json:
        return self._do(
            self._crm.associations.create,
            other,
            from_object_type=origin,
            from_object_id=id_,
            to_object_type=target,
        )

    def associate_as(self, origin: str, id_: str, target: str, other: str, types: Sequence[Json]) -> Json:
        return self._do(
            self._crm.associations.update_labels,
            other,
            object_type=origin,
            object_id=id_,
            to_object_type=target,
            body=list(types),
        )

    def associated(self, origin: str, id_: str, target: str, **options: Any) -> Json:
        return self._do(self._crm.associations.list, target, object_type=origin, object_id=id_, **options)

    def separate(self, origin: str, id_: str, target: str, other: str) -> None:
        self._do(self._crm.associations.delete, other, object_type=origin, object_id=id_, to_object_type=target)

    def batch_associations(self, origin: str, target: str, verb: str, body: Json) -> Json | None:
        verb = {"read": "get", "archive": "delete"}.get(verb, verb)
        call = getattr(self._crm.associations.batch, verb)
        return self._do(call, target, from_object_type=origin, inputs=body["inputs"])

    def labels(self, origin: str, target: str) -> list[Json]:
        call = self._crm.associations_schema.labels.list_labels
        return self._do(call, target, from_object_type=origin)["results"]

    def create_label(self, origin: str, target: str, name: str, label: str) -> list[Json]:
        call = self._crm.associations_schema.labels.create_label
        return self._do(call, target, from_object_type=origin, name=name, label=label)["results"]

    def delete_label(self, origin: str, target: str, type_id: int) -> None:
        call = self._crm.associations_schema.labels.delete_label
        self._do(call, type_id, from_object_type=origin, to_object_type=target)

    def create_schema(self, body: Json) -> Json:
        return self._do(
            self._crm.object_schemas.create,
            name=body["name"],
            labels=body["labels"],
            properties=body["properties"],
            required_properties=body["requiredProperties"],
            searchable_properties=body["searchableProperties"],
            secondary_display_properties=body["secondaryDisplayProperties"],
            primary_display_property=body["primaryDisplayProperty"],
            associated_objects=body["associatedObjects"],
            allows_sensitive_properties=False,
        )

    def schema(self, name: str) -> Json:
        return self._do(self._crm.object_schemas.get, name)

    def delete_schema(self, name: str) -> None:
        self._do(self._crm.object_schemas.delete, name)

    def pipelines(self, type_: str) -> list[Json]:
        return self._do(self._crm.pipelines.list, type_)["results"]

    def owners(self) -> Json:
        return self._do(self._crm.owners.list)

    def account(self) -> Json:
        return self._do(self._client.account.get)

    def daily_usage(self) -> list[Json]:
        return self._do(self._client.account.get_daily_private_apps_usage)["results"]


CLIENTS: Mapping[str, Callable[[str, str], OfficialClient]] = {
    ApiClient.name: ApiClient,
    SdkClient.name: SdkClient,
}
