"""A status column on your own PostgreSQL table becomes a durable job queue."""

from jobloop.binding import bind
from jobloop.claim import Claim
from jobloop.control import Control
from jobloop.errors import (
    InvalidOutcome,
    JobLoopError,
    MissingColumn,
    NotBound,
    QueueDeclarationError,
    SharedColumn,
    TableUnfit,
)
from jobloop.handler import batch, each
from jobloop.listener import Listener
from jobloop.loop import JobLoop, run_job_loop
from jobloop.outcome import Complete, Fail, Outcome, Pause, Retry, Snooze
from jobloop.pause import pauses_table
from jobloop.queue import JobQueue
from jobloop.report import CycleReport
from jobloop.retry import RetryPolicy
from jobloop.schema import notify_on_enqueue, queue_columns, queue_indexes
from jobloop.status import Statuses
from jobloop.threaded import threaded

__all__ = [
    "Claim",
    "Complete",
    "Control",
    "CycleReport",
    "Fail",
    "InvalidOutcome",
    "JobLoop",
    "JobLoopError",
    "JobQueue",
    "Listener",
    "MissingColumn",
    "NotBound",
    "Outcome",
    "Pause",
    "QueueDeclarationError",
    "Retry",
    "RetryPolicy",
    "SharedColumn",
    "Snooze",
    "Statuses",
    "TableUnfit",
    "batch",
    "bind",
    "each",
    "notify_on_enqueue",
    "pauses_table",
    "queue_columns",
    "queue_indexes",
    "run_job_loop",
    "threaded",
]
