"""crm-sync worker"""


def worker() -> None:
    """Work the queues and serve nothing, until Ctrl-C; as many processes as wanted, beside `serve` or without it.

    Wakes at once when contacts are queued (PostgreSQL's NOTIFY), and looks every WORKER_POLL_SECONDS all the same.
    A first signal lets what runs end, a second one stops at once; no contact is lost either way.
    """
    import asyncio

    from crm_sync.cli.opening import read_settings, say
    from crm_sync.runtime import open_runtime
    from crm_sync.worker import work_until_signalled

    settings = read_settings(log_level=None)

    async def run() -> None:
        async with open_runtime(settings, announce=say) as runtime:
            for report in await work_until_signalled(runtime):
                say(f"{report.queue}: {report.completed} completed, {report.failed} failed, {report.retried} to retry")

    asyncio.run(run())
