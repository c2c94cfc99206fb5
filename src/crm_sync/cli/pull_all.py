"""crm-sync pull all"""

from crm_sync.cli.answer import AsJson
from crm_sync.cli.pull_options import BatchSize, CatchUp, DryRun, Full, Since, SkipAssociations
from crm_sync.cli.pull_streams import pull_streams


def pull_all(
    full: Full = False,
    since: Since = None,
    dry_run: DryRun = False,
    batch_size: BatchSize = None,
    catch_up: CatchUp = False,
    skip_associations: SkipAssociations = False,
    as_json: AsJson = False,
) -> None:
    """Pull every stream, several side by side (HUBSPOT_PULL_CONCURRENCY).

    A custom object of HUBSPOT_CUSTOM_OBJECTS that the account does not have is skipped.
    """
    pull_streams(["all"], full, since, dry_run, batch_size, catch_up, skip_associations, as_json)
