"""Every error that the application raises on purpose.

    CrmSyncError
    ├── SettingsError                 a setting is missing, malformed or out of range
    ├── DatabaseError
    │   ├── DatabaseUnavailableError  nothing answers there, or it refuses us
    │   ├── DatabaseVersionError      it answers, but is older than PostgreSQL 14
    │   ├── EmbeddedPostgresError     the private server cannot be made or started
    │   └── MigrationError            the schema cannot be brought to the wanted revision
    ├── IntakeError                   a file of contacts cannot be read at all
    └── HubSpotError                  HubSpot refuses, or cannot be reached; its own tree: `crm_sync.hubspot.errors`

Some are defined where they are raised: TokenMissingError, a SettingsError, in `crm_sync.runtime`; UnknownContactError
and ContactBusyError in `crm_sync.push_now`.

The message is one or two sentences for a person: what is wrong, where, and what to do about it.
It never holds a secret.
"""

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


class IntakeError(CrmSyncError):
    """The file as a whole is unusable; single bad lines are reported, not raised."""
