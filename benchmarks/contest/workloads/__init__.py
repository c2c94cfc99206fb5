"""One module a workload: `async run(arena, options) -> Sheet`."""
