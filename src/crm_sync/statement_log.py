"""Every SQL statement with its time, in a log at DEBUG. Values are left out: they are people's data."""

import logging
import time
from typing import Any

from sqlalchemy import Engine, event

logger = logging.getLogger(__name__)

#: Of a longer statement the beginning tells which one it is.
_MOST_CHARACTERS = 400


def log_statements(engine: Engine) -> None:
    """From now on; costs nothing where nobody reads the log at DEBUG."""
    if not logger.isEnabledFor(logging.DEBUG):
        return

    @event.listens_for(engine, "before_cursor_execute")
    def begins(_connection: Any, _cursor: Any, _statement: str, _values: Any, context: Any, _many: bool) -> None:
        context.began_at = time.monotonic()

    @event.listens_for(engine, "after_cursor_execute")
    def ended(_connection: Any, _cursor: Any, statement: str, _values: Any, context: Any, _many: bool) -> None:
        words = " ".join(statement.split())
        shown = words if len(words) <= _MOST_CHARACTERS else f"{words[:_MOST_CHARACTERS]} …"
        logger.debug("sql %.1f ms: %s", 1000 * (time.monotonic() - context.began_at), shown)
