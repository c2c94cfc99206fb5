"""crm-sync pull all"""

from crm_sync.cli.pull_options import AsJson, BatchSize, CatchUp, DryRun, Full, Since, SkipAssociations


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
    from crm_sync.cli.pull_options import wish
    from crm_sync.cli.pull_run import run

    run(
        ["all"],
        wish(
            full=full,
            since=since,
            dry_run=dry_run,
            batch_size=batch_size,
            catch_up=catch_up,
            skip_associations=skip_associations,
        ),
        as_json=as_json,
    )
