"""What the demo stands on: a PostgreSQL and a HubSpot that are its own, and the real application between them."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import uvicorn
from pydantic import SecretStr

from crm_sync.embedded_postgres import EmbeddedPostgres
from crm_sync.errors import CrmSyncError, IntakeError
from crm_sync.settings import Settings
from crm_sync.web.serve import serve
from hubspot_emulator import EmulatorServer

#: The scheduler's interval and the first retry's delay: minutes in real life, a second here.
SECOND_IN_MINUTES = 1 / 60
_ROOT = Path(__file__).parents[4]


def demo_settings(settings: Settings, data_dir: Path, hubspot: EmulatorServer) -> Settings:
    """The user's settings, but for what would touch the user's data or account, and with seconds for minutes."""
    own_tokens = {name: None for name in Settings.model_fields if name.startswith("HUBSPOT_API_KEY_")}
    return settings.model_copy(
        update={
            **own_tokens,
            "DATABASE_URL": None,
            "DATA_DIR": data_dir,
            "WEB_HOST": "127.0.0.1",
            "WEB_PORT": 0,
            "HUBSPOT_API_KEY": SecretStr(hubspot.token),
            "HUBSPOT_API_BASE_URL": hubspot.url,
            "HUBSPOT_PORTAL_ID": None,
            "HUBSPOT_REQUESTS_PER_10_SECONDS": 100,
            "HUBSPOT_SYNC_SCHEDULER_ENABLED": True,
            "HUBSPOT_SYNC_SCHEDULER_INTERVAL_MINUTES": SECOND_IN_MINUTES,
            "HUBSPOT_SYNC_SCHEDULER_BATCH_SIZE": 100,
            "HUBSPOT_SYNC_SCHEDULER_DRAIN": True,
            "HUBSPOT_SYNC_MAX_RETRIES": 3,
            "HUBSPOT_SYNC_RETRY_DELAY_MINUTES": SECOND_IN_MINUTES,
        }
    )


@contextmanager
def fresh_postgres(data_dir: Path) -> Iterator[EmbeddedPostgres]:
    """A new, empty server below `data_dir`; what the last demo left there is removed, what this one leaves is kept."""
    if not EmbeddedPostgres(data_dir).stop(delete=True):
        raise CrmSyncError(
            f"Another command uses the demo's database in {data_dir} right now. End it, then run the demo again."
        )
    with EmbeddedPostgres(data_dir) as server:
        yield server


@asynccontextmanager
async def application(settings: Settings) -> AsyncIterator[tuple[str, asyncio.Task[None]]]:
    """The application as `crm-sync serve` runs it: its address, and the task that ends when it does."""
    started: asyncio.Future[tuple[str, uvicorn.Server]] = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(
        serve(settings, ready=lambda address, server: started.set_result((address, server))), name="application"
    )
    task.add_done_callback(lambda _: started.cancel())
    await asyncio.wait([started])
    if started.cancelled():
        await task  # raises what went wrong
        raise KeyboardInterrupt
    address, server = started.result()
    try:
        yield address, task
    finally:
        server.should_exit = True
        await task


def contacts_file(given: Path | None) -> Path:
    """The CSV to import: given, or the example of the source tree. Raises IntakeError when there is none."""
    candidates = [given] if given else [Path("examples/contacts.csv"), _ROOT / "examples" / "contacts.csv"]
    for path in candidates:
        if path.is_file():
            return path
    raise IntakeError(f"There is no file {candidates[0]}. Name a CSV of contacts with --file.")
