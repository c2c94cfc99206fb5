"""Rich pieces that several commands print. Import it inside a command: rich takes its time."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

#: Width when the output is a file or a pipe: nobody's lines are folded at 80.
_PLAIN_WIDTH = 160


def console() -> Console:
    plain = Console()
    return plain if plain.is_terminal else Console(width=_PLAIN_WIDTH)


def table(title: str, headings: Sequence[str], rows: Iterable[Sequence[Any]], *, numbers: Sequence[str] = ()) -> Table:
    """A table; columns named in `numbers` are aligned to the right."""
    made = Table(title=title, title_justify="left", title_style="bold", header_style="dim")
    for heading in headings:
        made.add_column(heading, justify="right" if heading in numbers else "left", overflow="fold")
    for row in rows:
        made.add_row(*(shown(value) for value in row))
    return made


def fitting_table(
    screen: Console, title: str, columns: Mapping[str, Sequence[Any]], *, texts: Sequence[str], least: Sequence[str]
) -> Table:
    """A table of columns (heading → values) in which nothing wraps; those that are not `texts` are numbers.

    Of `least`, what says nothing is left out, and then the first ones until the rest fits the screen.
    """
    kept = {name: values for name, values in columns.items() if name not in least or any(values)}
    spare = [name for name in least if name in kept]
    while True:
        numbers = [name for name in kept if name not in texts]
        made = table(title, list(kept), zip(*kept.values(), strict=True), numbers=numbers)
        for column in made.columns:
            column.no_wrap = True
        wide = screen.options.update(max_width=10_000)
        if not spare or Measurement.get(screen, wide, made).maximum <= screen.width:
            return made
        del kept[spare.pop(0)]


def short_time(at: datetime | None) -> str | None:
    """ "11-22 05:14", UTC."""
    return None if at is None else f"{at.astimezone(UTC):%m-%d %H:%M}"


def facts(title: str, pairs: Mapping[str, Any]) -> Table:
    """Names and values in two columns."""
    made = Table(title=title, title_justify="left", title_style="bold", show_header=False, box=None, padding=(0, 2))
    made.add_column(style="dim", no_wrap=True)
    made.add_column(overflow="fold")
    for name, value in pairs.items():
        made.add_row(name, shown(value))
    return made


def shown(value: Any) -> Text:
    """A value as a person reads it; never as rich's markup."""
    if value is None:
        return Text("–", style="dim")
    if isinstance(value, datetime):
        return Text(f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC")
    if isinstance(value, int) and not isinstance(value, bool):
        return Text(f"{value:,}")
    if isinstance(value, float):
        return Text(f"{value:,.1f}")
    return Text(str(value))


def duration(seconds: float | None) -> str | None:
    """ "45 s", "12 min", "3 h 05 min"."""
    if seconds is None:
        return None
    minutes = int(seconds // 60)
    if minutes < 1:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"
