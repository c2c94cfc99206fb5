"""The surface: every route of the API, and the control routes beside it."""

from __future__ import annotations

from hubspot_emulator.router import Route

from . import account, control, objects, properties

__all__ = ["api_routes", "control_routes"]


def api_routes() -> list[Route]:
    return [*objects.ROUTES, *properties.ROUTES, *account.ROUTES]


def control_routes() -> list[Route]:
    return list(control.ROUTES)
