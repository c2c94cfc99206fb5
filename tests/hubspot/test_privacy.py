"""No log line and no error text tells whose contact it was: an e-mail can stand in a path."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator

import pytest
import structlog

from crm_sync.hubspot import HubSpotClient, HubSpotError, RetryRules
from crm_sync.logs import configure_logging
from hubspot_emulator import EmulatorServer
from tests.application import make_settings

EMAIL = "ann.lee@example.com"
FAULTS = ("404", "400", "500", "502", "cut", "html", "truncated", "423", "401")


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


@pytest.mark.parametrize("level", ["INFO", "DEBUG"])
@pytest.mark.parametrize("fault", FAULTS)
async def test_no_log_line_and_no_error_holds_an_email(emulator: EmulatorServer, level: str, fault: str) -> None:
    stream = io.StringIO()
    configure_logging(make_settings("postgresql://x/y", LOG_LEVEL=level), stream=stream)
    if fault not in ("404", "400"):
        emulator.fault(fault, path="*/contacts/*", times=0)
    async with HubSpotClient(emulator.url, emulator.token, retries=RetryRules(max_attempts=2, scale=0)) as hubspot:
        values = {"no_such_property": "x"} if fault == "400" else {"firstname": "Ann"}
        for call in (
            hubspot.update("contacts", EMAIL, values, id_property="email"),
            hubspot.get("contacts", EMAIL, id_property="email"),
        ):
            with pytest.raises(HubSpotError) as caught:
                await call
            logging.getLogger("crm_sync.anything").warning("failed", exc_info=caught.value)
            assert "contacts/{email}" in str(caught.value)
            for text in (str(caught.value), repr(caught.value), caught.value.summary):
                assert "ann.lee" not in text
    lines = stream.getvalue()
    assert "{email}" in lines
    assert "ann.lee" not in lines
