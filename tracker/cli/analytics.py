"""`track count`, `track speed` and `track heatmap`: what the final tracks of a run tell."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from rich.console import RenderableType
from rich.table import Table

from tracker.cli.console import check_output, print_report, report_console, say
from tracker.cli.options import CommandApp, help_text, section, split_names
from tracker.config import AnalyticsConfig, ZonesConfig, read_zones
from tracker.data.run_tracks import read_run_tracks
from tracker.errors import InputError
from tracker.output.rows import write_rows

if TYPE_CHECKING:
    from tracker.analytics import Analysis, TrackSpeed

ZONES = "zones.yaml"
"""File of lines and zones in the folder of a run."""
FOLDER = "analytics"
"""Folder for the tables, in the folder of a run."""

_MOST_ROWS = 40

Run = Annotated[Path, help_text("The folder of a run, such as tracked/video.")]
Zones = Annotated[
    Path | None, help_text("YAML file of lines, zones and calibration; without it zones.yaml in the folder of the run.")
]
Folder = Annotated[Path | None, help_text("Folder for the tables; without it analytics/ in the folder of the run.")]
Format = Annotated[Literal["csv", "parquet"], help_text("Format of the tables: csv or parquet.")]
Classes = Annotated[tuple[str, ...], help_text("Only tracks of these classes.")]
Settings = Annotated[AnalyticsConfig, section("Analytics")]

count_app = CommandApp(name="count")
speed_app = CommandApp(name="speed")
heatmap_app = CommandApp(name="heatmap")


@count_app.default
def count(
    run: Run,
    /,
    *,
    zones: Zones = None,
    output: Folder = None,
    format: Format = "csv",
    classes: Classes = (),
    settings: Settings = AnalyticsConfig(),
) -> None:
    """Runs the command."""
    from tracker.analytics import Analysis, CountRow, Crossing, Flow, OccupancyRow, Visit, analyze_tracks

    tracks = read_run_tracks(run).of_classes(split_names(classes))
    known = find_zones(run, zones)
    if not known.lines and not known.zones:
        raise InputError(f"{zones or run / ZONES} has neither lines nor zones: add some")
    found: Analysis = analyze_tracks(tracks, known, settings)
    folder = _make_folder(run, output)
    tables: list[tuple[str, Any, list[Any]]] = []
    if known.lines:
        tables += [("counts", CountRow, found.counts), ("crossings", Crossing, found.crossings)]
    if known.zones:
        tables += [("visits", Visit, found.visits), ("occupancy", OccupancyRow, found.occupancy)]
        tables += [("flows", Flow, found.flows)]
    for name, kind, rows in tables:
        write_rows(folder / f"{name}.{format}", kind, rows)
    print_report(report_console(), [*_count_tables(found, known), _written(folder, [name for name, _, _ in tables])])


@speed_app.default
def speed(
    run: Run,
    /,
    *,
    zones: Zones = None,
    output: Folder = None,
    format: Format = "csv",
    classes: Classes = (),
    settings: Settings = AnalyticsConfig(),
) -> None:
    """Runs the command."""
    from tracker.analytics import GroundPlane, TrackSpeed, image_size, measure_speeds, trajectories

    tracks = read_run_tracks(run).of_classes(split_names(classes))
    calibration = find_zones(run, zones).calibration
    if calibration is None:
        raise InputError(f"{zones or run / ZONES} has no calibration: add points on the ground, or a known length")
    plane = GroundPlane(calibration, image_size(tracks))
    speeds = measure_speeds(trajectories(tracks, settings), plane, settings)
    folder = _make_folder(run, output)
    write_rows(folder / f"speeds.{format}", TrackSpeed, speeds)
    error = f"the marked points are {plane.error:.1f} pixels off"
    if plane.reprojection_error:
        error += f" (reprojection error {plane.reprojection_error:.1f} pixels)"
    print_report(report_console(), [_speed_table(speeds), error, _written(folder, ["speeds"])])


@heatmap_app.default
def heatmap(
    run: Run,
    /,
    *,
    output: Annotated[
        Path | None,
        help_text("A .png or .jpg; without it analytics/heatmap.png in the folder of the run."),
    ] = None,
    video: Annotated[str, help_text("The video of the run, where it is not at its place any more.")] = "",
    classes: Classes = (),
    overwrite: Annotated[bool, help_text("Replace the file of --output.")] = False,
    settings: Settings = AnalyticsConfig(),
) -> None:
    """Runs the command."""
    from PIL import Image

    from tracker.analytics import draw_heat_map, heat_map, image_size, trajectories
    from tracker.analytics.images import read_background
    from tracker.data.files import replace_file
    from tracker.output.base import open_error

    check_output(output, (".png", ".jpg"), overwrite)
    tracks = read_run_tracks(run).of_classes(split_names(classes))
    heat = heat_map(trajectories(tracks, settings), image_size(tracks), settings.grid)
    image = Image.fromarray(draw_heat_map(heat, read_background(tracks, video)))
    path = output or _make_folder(run, None) / "heatmap.png"
    try:
        with replace_file(path, path.suffix) as temporary:
            image.save(temporary)
    except OSError as error:
        raise open_error(path, error) from None
    say(f"wrote {path}")


def find_zones(run: Path, path: Path | None) -> ZonesConfig:
    """Reads lines and zones from a file, or from that in the folder of a run.

    Raises:
        InputError: There is none, or something in it is wrong.
    """
    if path is None and not (run / ZONES).is_file():
        raise InputError(f"{run} has no {ZONES}: draw lines and zones, or give a YAML file by --zones")
    return read_zones(path or run / ZONES)


def _make_folder(run: Path, output: Path | None) -> Path:
    folder = output or run / FOLDER
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot make the folder {folder}: {error.strerror}") from None
    return folder


def _written(folder: Path, names: list[str]) -> str:
    return f"wrote {', '.join(names)} into {folder}"


def _count_tables(found: "Analysis", zones: ZonesConfig) -> list[RenderableType]:
    parts: list[RenderableType] = []
    if zones.lines:
        table = _table("line", "direction", "class", "from s", "to s", "count", "interval")
        for row in found.counts[:_MOST_ROWS]:
            interval = f"{row.low} to {row.high}"
            span = f"{row.start_s:.0f}", f"{row.end_s:.0f}"
            table.add_row(row.line, row.direction, row.category, *span, str(row.count), interval)
        parts += [table, *_more(len(found.counts))]
    if zones.zones:
        table = _table("zone", "visits", "mean dwell s", "mean inside", "most inside")
        for name in zones.zones:
            dwell = [visit.dwell_s for visit in found.visits if visit.zone == name]
            rows = [row for row in found.occupancy if row.zone == name]
            total = sum(row.end_s - row.start_s for row in rows)
            mean = sum(row.mean * (row.end_s - row.start_s) for row in rows) / total if total else 0.0
            average = f"{sum(dwell) / len(dwell):.1f}" if dwell else "-"
            table.add_row(name, str(len(dwell)), average, f"{mean:.2f}", str(max(row.most for row in rows)))
        parts.append(table)
    if found.flows:
        table = _table("from", "to", "class", "count", "interval", "mean s")
        for flow in found.flows[:_MOST_ROWS]:
            interval = f"{flow.low} to {flow.high}"
            table.add_row(flow.origin, flow.destination, flow.category, str(flow.count), interval, f"{flow.mean_s:.1f}")
        parts += [table, *_more(len(found.flows))]
    return parts


def _speed_table(speeds: list["TrackSpeed"]) -> Table:
    table = _table("track", "class", "from s", "to s", "m/s", "interval", "km/h", "fastest m/s")
    for row in speeds[:_MOST_ROWS]:
        table.add_row(
            str(row.track_id),
            row.category,
            f"{row.start_s:.1f}",
            f"{row.end_s:.1f}",
            f"{row.speed_m_s:.2f}",
            f"{row.low_m_s:.2f} to {row.high_m_s:.2f}",
            f"{3.6 * row.speed_m_s:.1f}",
            f"{row.fastest_m_s:.2f}",
        )
    return table


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in columns:
        texts = ("line", "direction", "class", "zone", "from", "to", "interval")
        table.add_column(name, justify="left" if name in texts else "right")
    return table


def _more(rows: int) -> list[str]:
    return [f"and {rows - _MOST_ROWS} rows more in the table"] if rows > _MOST_ROWS else []
