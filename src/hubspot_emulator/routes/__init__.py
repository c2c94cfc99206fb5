"""The surface: every route of the API, and the control routes beside it."""

from __future__ import annotations

from hubspot_emulator.router import Route

from . import (
    account,
    association_labels,
    associations,
    associations_v3,
    control,
    marketing,
    objects,
    owners,
    pipelines,
    properties,
    schemas,
)

__all__ = ["api_routes", "control_routes"]


def api_routes() -> list[Route]:
    parts = (
        objects,
        associations,
        association_labels,
        associations_v3,
        properties,
        schemas,
        owners,
        pipelines,
        marketing,
        account,
    )
    return [route for part in parts for route in part.ROUTES]


def control_routes() -> list[Route]:
    return list(control.ROUTES)
