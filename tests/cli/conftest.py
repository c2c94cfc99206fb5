from tests.application_fixtures import _hubspot, contacts, hubspot
from tests.cli.shell import shell

__all__ = ["_hubspot", "contacts", "hubspot", "shell"]
