"""More properties than an address or a search has room for."""

from __future__ import annotations

import pytest

from tests.hubspot.live import add, associate, define
from tests.pull.pulling import Pulls


@pytest.mark.parametrize("count", [300, 1_000])
async def test_every_property_of_a_large_account_is_kept(either: Pulls, count: int) -> None:
    """URLs over 15,000 characters are parted; a search over 3,000 finds ids, which are read in batches."""
    emulator = either.emulator
    names = [f"a_property_with_a_rather_long_name_{n}" for n in range(count)]
    define(emulator, "companies", *names)
    parent = add(emulator, "companies", name="Parent")
    for n in range(130):
        values = {name: f"{n} {name}" for name in names[n % 7 :: 50]}
        company = add(emulator, "companies", name=f"Company {n}", **values)
        associate(emulator, "companies", company, "companies", parent)
    await either.full("companies")
    await either.assert_equal("companies")
    pages = len(emulator.calls("objects.list", "companies"))
    assert pages > 4 if count == 1_000 else pages >= 3

    table = emulator.portal.table("companies")
    for record in list(table.records.values())[::2]:
        emulator.portal.update(table, record, {names[0]: "", names[-1]: "new"})
    report = (await either.changes("companies"))["companies"]
    assert emulator.calls("objects.batch_read", "companies")
    assert report.updated == 66
    await either.assert_equal("companies")
