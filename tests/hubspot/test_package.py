"""The package's face."""

from __future__ import annotations

import crm_sync.hubspot
import crm_sync.push


def test_public_names_are_sorted_and_there() -> None:
    for package in (crm_sync.hubspot, crm_sync.push):
        assert package.__all__ == sorted(package.__all__, key=lambda name: (not name.isupper(), name))
        assert all(hasattr(package, name) for name in package.__all__)
