"""What a database error says: the server is away, or it refuses a row."""

from __future__ import annotations

from asyncpg import InternalClientError, PostgresError
from sqlalchemy.exc import DBAPIError, InterfaceError, StatementError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm.exc import StaleDataError

from jobloop.errors import QueueDeclarationError, TableUnfit
from jobloop.transaction import TRANSIENT, sqlstate

#: SQLSTATE classes and codes that say "the server cannot be used now": it is gone, full, or read-only after a failover.
_ABSENT = ("08", "57P", "53", "25006")
#: Classes that say "not these data": values, constraints, views' checks, and what triggers raise.
_WRONG_DATA = ("22", "23", "27", "44", "P0")
#: Classes that say "this row must not become that": data, constraints, types, views' checks, and what triggers raise.
_WRONG_ROW = ("22", "23", "27", "42", "44", "P0")


def is_absent(exc: BaseException) -> bool:
    """True if `exc` says that the database cannot be reached now, rather than that a statement is wrong."""
    if isinstance(exc, DBAPIError):
        code = sqlstate(exc) or ""
        return exc.connection_invalidated or isinstance(exc, InterfaceError) or code.startswith(_ABSENT)
    # The last is what asyncpg says when the server ended the connection between two messages of one statement.
    return isinstance(exc, OSError | TimeoutError | PoolTimeout | InternalClientError)


def is_transient(exc: BaseException) -> bool:
    """True for a deadlock and the like: by chance, and nobody's fault."""
    return sqlstate(exc) in TRANSIENT


def hides_column(exc: BaseException) -> bool:
    """True if a column is not there, or not to be read by this role."""
    return sqlstate(exc.__cause__ if isinstance(exc, TableUnfit) and exc.__cause__ else exc) in ("42703", "42501")


def blames_row(exc: BaseException) -> bool:
    """True if a row that we settle or rescue is refused: not for a lock timeout or a statement that was cancelled."""
    if isinstance(exc, DBAPIError):
        return (sqlstate(exc) or "").startswith(_WRONG_ROW)
    # A value that its column's type cannot even send, or a column that handlers must not write.
    return isinstance(exc, StatementError | QueueDeclarationError)


def blames_data(exc: BaseException) -> bool:
    """`blames_row` of statements that are not ours, which may be wrong themselves: only what speaks of their data."""
    if isinstance(exc, DBAPIError | PostgresError):
        return (sqlstate(exc) or "").startswith(_WRONG_DATA) or _is_by_policy(exc)
    # The last: an entity was changed whose row was deleted in the meantime.
    return isinstance(exc, StatementError | QueueDeclarationError | StaleDataError)


def _is_by_policy(exc: BaseException) -> bool:
    """True if a policy of row-level security forbids the new row. The code is that of a missing privilege."""
    said = getattr(getattr(exc, "orig", None), "__cause__", exc)
    return getattr(said, "server_source_function", None) == "ExecWithCheckOptions"
