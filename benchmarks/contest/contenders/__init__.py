"""One module a contender; each runs as a process of its own: `python -m contest.contenders.NAME ROLE …`."""
