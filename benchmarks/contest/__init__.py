"""Queues side by side on one PostgreSQL: who drains how fast, verified exactly once. `benchmarks/queues.py` runs it."""
