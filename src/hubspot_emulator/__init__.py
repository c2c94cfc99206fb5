"""A HubSpot on localhost: strict enough to be trusted by the tests of an integration."""

from .behaviour import Behaviour
from .faults import Fault
from .portal import Portal
from .server import EmulatorServer, serve
from .tokens import DEFAULT_TOKEN

__all__ = ["DEFAULT_TOKEN", "Behaviour", "EmulatorServer", "Fault", "Portal", "serve"]
