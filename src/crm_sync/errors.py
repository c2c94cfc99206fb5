"""Every error that the application raises on purpose.

    CrmSyncError
    ├── SettingsError                 a setting is missing, malformed or out of range
    ├── DatabaseError
    │   ├── DatabaseUnavailableError  nothing answers there, or it refuses us
    │   ├── DatabaseVersionError      it answers, but is older than PostgreSQL 14
    │   ├── EmbeddedPostgresError     the private server cannot be made or started
    │   └── MigrationError            the schema cannot be brought to the wanted revision
    ├── QueuePausedError              an operator, or the service's fault, stopped the queue
    ├── IntakeError                   a file of contacts cannot be read at all
    ├── PullError
    │   ├── UnknownStreamError        there is no stream of that name
    │   └── StreamBusyError           another run works on the stream now
    └── HubSpotError                  HubSpot refuses, or cannot be reached; its own tree: `crm_sync.hubspot.errors`

Some are defined where they are raised: TokenMissingError, a SettingsError, in `crm_sync.clients`; UnknownContactError
and ContactBusyError in `crm_sync.push_now`.

The message is one or two sentences for a person: what is wrong, where, and what to do about it.
It never holds a secret.
"""

from datetime import datetime
from typing import ClassVar


class CrmSyncError(Exception):
    """A failure that the user can act on. `exit_code` is what a command ends with."""

    exit_code: ClassVar[int] = 1


class SettingsError(CrmSyncError):
    exit_code = 2


class DatabaseError(CrmSyncError):
    exit_code = 3


class DatabaseUnavailableError(DatabaseError):
    """Nothing answers at the address, or the server refuses this user or database."""


class DatabaseVersionError(DatabaseError):
    """The server is older than the oldest PostgreSQL that the queue's SQL was proved on."""


class EmbeddedPostgresError(DatabaseError):
    """The private server in the data directory cannot be made or started."""


class MigrationError(DatabaseError):
    """The schema is not what was asked for and could not be made so."""


class QueuePausedError(CrmSyncError):
    """Nobody works the queue now, by hand or otherwise."""

    exit_code = 6


class IntakeError(CrmSyncError):
    """The file as a whole is unusable; single bad lines are reported, not raised."""


class PullError(CrmSyncError):
    """HubSpot's records could not be brought here."""


class UnknownStreamError(PullError):
    """The message lists the streams that there are."""

    exit_code = 2


class StreamBusyError(PullError):
    """Another run works on the stream. `until`: when it loses it at the latest, if it is not heard of again."""

    exit_code = 6

    def __init__(self, stream: str, until: datetime | None) -> None:
        super().__init__(f"Another run pulls {stream} now: `crm-sync runs` shows it. Try again when it has ended.")
        self.stream = stream
        self.until = until
