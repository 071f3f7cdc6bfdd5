"""Everything that the lines and zones of a camera tell about the tracks of a run."""

from collections.abc import Sequence
from dataclasses import dataclass

from tracker.analytics.counts import CountRow, count_crossings
from tracker.analytics.crossings import Crossing, find_crossings
from tracker.analytics.trajectories import Trajectory, possible_links, trajectories
from tracker.analytics.zones import Flow, OccupancyRow, Visit, count_flows, find_visits, measure_occupancy
from tracker.config import AnalyticsConfig, ZonesConfig
from tracker.data.run_tracks import RunTracks
from tracker.errors import InputError


@dataclass(frozen=True)
class Analysis:
    """The results of `analyze_tracks`.

    Attributes:
        crossings: The crossings of all lines, also doubtful ones, in order of time.
        counts: Their numbers by line, direction, class and interval.
        visits: The stays in zones.
        occupancy: How many tracks were in each zone, by interval.
        flows: The origin-destination matrix.
    """

    crossings: list[Crossing]
    counts: list[CountRow]
    visits: list[Visit]
    occupancy: list[OccupancyRow]
    flows: list[Flow]


def analyze_tracks(
    tracks: RunTracks,
    zones: ZonesConfig,
    config: AnalyticsConfig | None = None,
    paths: Sequence[Trajectory] | None = None,
) -> Analysis:
    """Returns counts, visits, occupancy and flows of the tracks of a run.

    Args:
        tracks: The tracks.
        zones: Lines and zones.
        config: Settings.
        paths: Their paths, if they are known already.

    Raises:
        InputError: The size of the images is unknown, or the sides of a zone cross each other.
    """
    config = config or AnalyticsConfig()
    size = image_size(tracks)
    paths = trajectories(tracks, config) if paths is None else paths
    links = possible_links(paths, size, config)
    crossings: list[Crossing] = []
    for name, line in zones.lines.items():
        crossings += find_crossings(paths, links, name, line, size, config)
    crossings.sort(key=lambda crossing: (crossing.time_s, crossing.line, crossing.track_id))
    directions = [(name, way) for name, line in zones.lines.items() for way in (line.right, line.left)]
    categories = sorted({path.category for path in paths})
    duration = video_duration(tracks)
    visits = find_visits(paths, zones.zones, size, config)
    return Analysis(
        crossings,
        count_crossings(crossings, directions, categories, duration, config.interval, config.level),
        visits,
        measure_occupancy(visits, list(zones.zones), duration, config.interval),
        count_flows(visits, paths, links, config),
    )


def image_size(tracks: RunTracks) -> tuple[int, int]:
    """Returns width and height of the images of a run, pixels.

    Raises:
        InputError: They are unknown.
    """
    if not tracks.width or not tracks.height:
        raise InputError(f"{tracks.folder} does not tell the size of the images, in which lines and zones are stated")
    return tracks.width, tracks.height


def video_duration(tracks: RunTracks) -> float:
    """Returns the seconds from the first frame of the source to the end of the last frame with a track."""
    return float(tracks.times[-1]) + float(1 / tracks.frame_rate) if len(tracks) else 0.0
