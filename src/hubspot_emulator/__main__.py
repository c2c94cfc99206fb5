"""`python -m hubspot_emulator --port 8025`."""

from __future__ import annotations

import argparse
import sys

from .behaviour import STANDING_LAG_SECONDS, Behaviour
from .quota import TIERS
from .server import serve
from .tokens import DEFAULT_TOKEN


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="hubspot_emulator", description="A HubSpot on localhost.")
    parser.add_argument("--port", type=int, default=8025)
    parser.add_argument("--seed", type=int, help="fill the portal from this number; without it, it is empty")
    parser.add_argument("--tier", choices=sorted(TIERS), default="free", help="whose rate limits apply")
    parser.add_argument(
        "--search-lag",
        type=float,
        default=STANDING_LAG_SECONDS,
        metavar="SECONDS",
        help="age at which a write is found",
    )
    options = parser.parse_args(arguments)
    try:
        serve(
            options.port,
            tier=options.tier,
            seed=options.seed or 0,
            fill_from=options.seed,
            behaviour=Behaviour(search_lag_seconds=options.search_lag),
            on_ready=_announce,
        )
    except OSError as error:
        sys.stderr.write(f"port {options.port}: {error.strerror}; choose another with --port\n")
        return 1
    return 0


def _announce(url: str) -> None:
    sys.stderr.write(f"HubSpot emulator on {url}, token {DEFAULT_TOKEN}; stop with Ctrl-C\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
