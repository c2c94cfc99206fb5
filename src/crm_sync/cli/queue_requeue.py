"""crm-sync queue requeue"""

from crm_sync.cli.answer import AsJson, answer, quantity
from crm_sync.cli.queue_choice import ErrorLike, OnlyId, QueueName, changed


def requeue(
    queue: QueueName = "contacts", error_like: ErrorLike = None, ids: OnlyId = None, as_json: AsJson = False
) -> None:
    """Put rows in Error back into the queue, as fresh requests with a new budget of retries."""
    from crm_sync.operate import requeue as requeue_rows

    rows = changed(queue, error_like, ids, requeue_rows)
    answer({"queue": queue, "requeued": rows}, f"{quantity(rows, 'row')} Queued again.", as_json=as_json)
