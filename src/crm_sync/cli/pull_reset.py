"""crm-sync pull reset"""

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from crm_sync.runtime import Runtime


def pull_reset(
    streams: Annotated[list[str], typer.Argument(metavar="STREAM...", help="Streams, groups, or all.")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Forget how far streams are: the next pull of each reads everything again. The mirror keeps what it has.

    Refused while a run works on one of them.
    """
    from crm_sync.cli.opening import with_runtime
    from crm_sync.pull.cursor_rows import CursorRows

    async def reset(runtime: "Runtime") -> list[str]:
        wanted = runtime.pull.expand(*streams)
        if not yes:
            typer.confirm(f"Forget how far {', '.join(wanted)} came, and read everything again?", abort=True, err=True)
        return await CursorRows(runtime.engine).reset(wanted)

    done = with_runtime(reset)
    typer.echo(f"The next pull of {', '.join(done)} is a full one." if done else "There was nothing to forget.")
