"""crm-sync, the command."""

from crm_sync.cli.program import main

__all__ = ["main"]
