"""Both families of HubSpot's addresses (pure)."""

from __future__ import annotations

import pytest

from crm_sync.hubspot.errors import Misconfigured
from crm_sync.hubspot.paths import ApiPaths


def test_v3_addresses() -> None:
    paths = ApiPaths("v3")
    assert paths.objects("contacts", "batch", "upsert") == "/crm/v3/objects/contacts/batch/upsert"
    assert paths.properties("contacts", "groups") == "/crm/v3/properties/contacts/groups"
    assert paths.account("details") == "/account-info/v3/details"
    assert paths.array("properties", ["a", "b"]) == (("properties", "a"), ("properties", "b"))
    assert paths.associations("contacts", "deals", "labels") == "/crm/v4/associations/contacts/deals/labels"
    assert paths.schemas() == "/crm-object-schemas/v3/schemas"
    assert (paths.owners(), paths.pipelines("deals")) == ("/crm/v3/owners", "/crm/v3/pipelines/deals")
    assert paths.forms() == "/marketing/v3/forms"


def test_dated_addresses() -> None:
    paths = ApiPaths("2026-03")
    assert paths.objects("contacts", "7") == "/crm/objects/2026-03/contacts/7"
    assert paths.properties("contacts") == "/crm/properties/2026-03/contacts"
    assert paths.account("details") == "/account-info/2026-03/details"
    assert paths.array("properties", ["a", "b"]) == (("properties", "a,b"),)
    assert paths.associations("contacts", "deals", "labels") == "/crm/associations/2026-03/contacts/deals/labels"
    assert paths.schemas() == "/crm-object-schemas/2026-03/schemas"
    assert (paths.owners(), paths.pipelines("deals")) == ("/crm/owners/2026-03", "/crm/pipelines/2026-03/deals")
    assert paths.forms() == "/marketing/forms/2026-03"


@pytest.mark.parametrize("version", ["v3", "2026-03"])
def test_no_values_are_no_parameter_and_a_segment_cannot_leave_its_place(version: str) -> None:
    paths = ApiPaths(version)
    assert paths.array("properties", []) == ()
    assert paths.objects("contacts", "../a b@x.com?").endswith("/contacts/..%2Fa%20b%40x.com%3F")


def test_an_unknown_version_is_refused() -> None:
    with pytest.raises(Misconfigured, match="v4"):
        ApiPaths("v4")
