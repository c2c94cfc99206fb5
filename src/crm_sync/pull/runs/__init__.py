"""Pulls as rows of `sync_runs`: asked for, worked off by a queue, followed and scheduled."""
