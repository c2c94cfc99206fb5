"""`/account-info`: who the account is and how much of the day's calls are spent."""

from __future__ import annotations

from hubspot_emulator.account import Account
from hubspot_emulator.clock import iso
from hubspot_emulator.router import DATED, Route
from hubspot_emulator.web import Answer, Request

__all__ = ["ROUTES"]


def details(account: Account, request: Request) -> Answer:
    return Answer(
        {
            "portalId": account.portal.id,
            "accountType": "DEVELOPER_TEST",
            "timeZone": "UTC",
            "companyCurrency": "EUR",
            "additionalCurrencies": [],
            "utcOffset": "+00:00",
            "utcOffsetMilliseconds": 0,
            "uiDomain": "app.hubspot.com",
            "dataHostingLocation": "na1",
        }
    )


def daily_usage(account: Account, request: Request) -> Answer:
    """Calls of all private apps of the account since midnight; `resetsAt` is when they count from zero again."""
    usage = {
        "name": "private-apps-api-calls-daily",
        "usageLimit": account.quota.limits.daily,
        "currentUsage": account.quota.daily_used,
        "collectedAt": iso(account.clock.now_ms()),
        "fetchStatus": "SUCCESS",
        "resetsAt": iso(account.quota.resets_at_ms()),
    }
    return Answer({"results": [usage]})


ROUTES = (
    Route(
        "account.details",
        "GET",
        ("/account-info/v3/details", f"/account-info/{DATED}/details"),
        details,
        bucket="account",
    ),
    Route(
        "account.daily_usage",
        "GET",
        (
            "/account-info/v3/api-usage/daily/private-apps",
            "/account-info/v3/api-usage/daily",
            f"/account-info/{DATED}/api-usage/daily/private-apps",
        ),
        daily_usage,
        bucket="account",
    ),
)
