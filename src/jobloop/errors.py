"""What jobloop raises.

JobLoopError
├── QueueDeclarationError   the declaration does not fit the model
│   ├── MissingColumn       the model has no column for a role
│   └── SharedColumn        two queues on one table would write the same column
├── TableUnfit              the table in the database is not fit to be a queue
├── NotBound                no session factory was given or bound
└── InvalidOutcome          a handler answered with something that is not an outcome
"""


class JobLoopError(Exception):
    """Base of every error that jobloop raises on its own account."""


class QueueDeclarationError(JobLoopError, ValueError):
    """A `JobQueue` was declared with something that cannot work; the sentence says what to change."""


class MissingColumn(QueueDeclarationError):
    """The model lacks a column that the queue writes."""

    def __init__(self, model: str, role: str, tried: tuple[str, ...], migration: str) -> None:
        self.model = model
        self.role = role
        self.tried = tried
        self.migration = migration
        names = " or ".join(f"{name!r}" for name in tried)
        super().__init__(
            f"{model} has no column for the queue's {role}: looked for {names}. "
            f"Add it to the model and migrate with: {migration}"
        )


class SharedColumn(QueueDeclarationError):
    """Two queues on one table name the same bookkeeping column."""

    def __init__(self, table: str, column: str, role: str, queues: tuple[str, str]) -> None:
        self.table = table
        self.column = column
        self.role = role
        self.queues = queues
        super().__init__(
            f"queues {queues[0]!r} and {queues[1]!r} on table {table!r} share the {role} column {column!r}: "
            f"one would overwrite the other's bookkeeping. Give each its own, for example "
            f"{queues[1].removesuffix('_status').removesuffix('_processing')}_{role}."
        )


class TableUnfit(JobLoopError):
    """The table in the database lacks something the queue needs.

    `problems` has one sentence for each, with the statement that mends it.
    """

    def __init__(self, table: str, problems: tuple[str, ...]) -> None:
        self.table = table
        self.problems = problems
        super().__init__(f"table {table!r} cannot be used as a queue: " + " ".join(problems))


class NotBound(JobLoopError):
    """There is no session factory to reach the database with."""


class InvalidOutcome(JobLoopError, TypeError):
    """A handler answered with something that is neither an outcome nor None."""
