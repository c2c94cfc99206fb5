"""crm-sync queue retry"""

from crm_sync.cli.answer import AsJson, answer, quantity
from crm_sync.cli.queue_choice import ErrorLike, OnlyId, QueueName, changed


def retry(
    queue: QueueName = "contacts", error_like: ErrorLike = None, ids: OnlyId = None, as_json: AsJson = False
) -> None:
    """Make retries that wait for their time due now. Their attempts so far still count."""
    from crm_sync.operate import retry_now

    rows = changed(queue, error_like, ids, retry_now)
    answer({"queue": queue, "retried": rows}, f"{quantity(rows, 'waiting row')} due now.", as_json=as_json)
