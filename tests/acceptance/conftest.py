from tests.application_fixtures import _hubspot, contacts, hubspot

__all__ = ["_hubspot", "contacts", "hubspot"]
