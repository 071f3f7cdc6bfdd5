"""The report of a run: one HTML file with everything in it."""

import base64
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import jinja2
import numpy as np
from numpy.typing import NDArray

from tracker.analytics.analysis import Analysis, analyze_tracks, image_size, video_duration
from tracker.analytics.heatmap import draw_heat_map, heat_map
from tracker.analytics.images import background_frames, median_image, shrink
from tracker.analytics.report.charts import Lane, bars, clock, timeline
from tracker.analytics.speed import GroundPlane, TrackSpeed, measure_speeds
from tracker.analytics.trajectories import Trajectory, possible_links, trajectories
from tracker.config import AnalyticsConfig, Config, ZonesConfig
from tracker.data.run_tracks import RunTracks
from tracker.output.drawing import track_color
from tracker.video.run_source import open_run_source

Image = NDArray[np.uint8]

MOST_TRACKS = 60
"""Most tracks on the timeline and among the thumbnails: the longest ones."""
_MOST_ROWS = 60
_THUMBNAIL = 150
"""Height of a thumbnail, pixels."""
_GAP = 1.0
"""Seconds without a row that interrupt a lane of the timeline."""
_BARS = 60


@dataclass
class Pictures:
    """The background of a video, and a crop of each of some tracks, read in one pass."""

    background: Image
    crops: dict[int, Image] = field(default_factory=dict)


def write_report(
    tracks: RunTracks,
    path: Path,
    zones: ZonesConfig | None = None,
    config: AnalyticsConfig | None = None,
    video: str = "",
    on_frame: Callable[[int, int], None] = lambda done, total: None,
    quality: Mapping[str, str] | None = None,
) -> None:
    """Writes the report of a run.

    Args:
        tracks: The tracks of the run.
        path: The HTML file; one that is there is replaced.
        zones: Lines, zones and calibration, for counts and speeds.
        config: Settings of the counts.
        video: The video of the run, where it is not at its place any more.
        on_frame: Called with the number of frames that were read, and that of all.
        quality: Measures of the quality of the tracks, texts by name.

    Raises:
        InputError: The video cannot be read, or the report not be written.
    """
    from tracker.data.files import write_text

    config = config or AnalyticsConfig()
    zones = zones or ZonesConfig()
    paths = trajectories(tracks, config)
    longest = sorted(paths, key=lambda one: one.times[0] - one.times[-1])[:MOST_TRACKS]
    pictures = _read_pictures(tracks, longest, video, on_frame)
    size = image_size(tracks)
    analysis = analyze_tracks(tracks, zones, config, paths)
    plane = GroundPlane(zones.calibration, size) if zones.calibration else None
    speeds = measure_speeds(paths, plane, config) if plane else []
    drawn = _draw_paths(paths, pictures.background, size)
    heat = draw_heat_map(heat_map(paths, size, config.grid), pictures.background)
    shown = sorted(longest, key=lambda one: (one.times[0], one.track_id))
    duration = video_duration(tracks)
    environment = jinja2.Environment(loader=jinja2.PackageLoader("tracker.analytics.report", "."), autoescape=True)
    environment.filters["clock"] = clock
    text = environment.get_template("report.html").render(
        name=tracks.name,
        record=tracks.record,
        summary=_summary(tracks, paths, config),
        quality=quality or {},
        duration=clock(duration),
        timeline=timeline([_lane(one) for one in shown], duration),
        shown=len(shown),
        total=len(paths),
        presence=bars(_presence(paths, duration), duration, "Tracks in the image, on average"),
        thumbnails=[_thumbnail(one, pictures.crops.get(one.track_id)) for one in shown],
        paths=_data_uri(drawn),
        heat=_data_uri(heat),
        analysis=analysis,
        crossing_charts=_crossing_charts(analysis, duration),
        zones=zones,
        dwell=_dwell(analysis, zones),
        speeds=sorted(speeds, key=lambda one: -one.speed_m_s)[:_MOST_ROWS],
        speed_count=len(speeds),
        plane=plane,
        settings=_settings(tracks.record),
        most_rows=_MOST_ROWS,
        config=json.dumps(tracks.record.get("config") or {}, indent=2),
    )
    write_text(path, text)


def _read_pictures(
    tracks: RunTracks, paths: Sequence[Trajectory], video: str, on_frame: Callable[[int, int], None]
) -> Pictures:
    """Reads the frames for the background and the thumbnails in one pass."""
    size = image_size(tracks)
    best = {one.track_id: _best_row(one, size) for one in paths}
    wanted: dict[int, list[tuple[int, NDArray[np.float64]]]] = {}
    for one in paths:
        row = best[one.track_id]
        wanted.setdefault(int(one.frames[row]), []).append((one.track_id, one.boxes[row]))
    median_of = set(background_frames(tracks))
    needed = median_of | wanted.keys()
    crops: dict[int, Image] = {}
    images: list[Image] = []
    with closing(open_run_source(tracks, video)) as source:
        source.select_frames(needed.__contains__, max(needed))
        for done, frame in enumerate(source, 1):
            on_frame(done, len(needed))
            if frame.index in median_of and frame.fit is None:
                images.append(shrink(frame.image, 1280))
            for track_id, box in wanted.get(frame.index, ()):
                crops[track_id] = _crop(frame.image, box)
    return Pictures(median_image(images), crops)


def _best_row(path: Trajectory, size: tuple[int, int]) -> int:
    """Returns the row of the largest box that is observed and not cut off by the border."""
    x1, y1, x2, y2 = path.boxes.T
    area = (x2 - x1) * (y2 - y1)
    inside = (x1 > 1) & (y1 > 1) & (x2 < size[0] - 1) & (y2 < size[1] - 1)
    return int(np.argmax(area * (0.1 + path.observed) * (0.2 + inside)))


def _crop(image: Image, box: NDArray[np.float64]) -> Image:
    height, width = image.shape[:2]
    margin = 0.08 * (box[3] - box[1])
    x1, y1 = (max(0, int(value - margin)) for value in box[:2])
    x2, y2 = min(width, int(np.ceil(box[2] + margin))), min(height, int(np.ceil(box[3] + margin)))
    crop = image[y1 : max(y2, y1 + 1), x1 : max(x2, x1 + 1)]
    scale = _THUMBNAIL / crop.shape[0]
    wide = min(max(1, round(crop.shape[1] * scale)), 3 * _THUMBNAIL)
    return np.asarray(cv2.resize(crop, (wide, _THUMBNAIL), interpolation=cv2.INTER_AREA), np.uint8)


def _data_uri(image: Image) -> str:
    _, data = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 82])
    return f"data:image/jpeg;base64,{base64.b64encode(data.tobytes()).decode()}"


def _draw_paths(paths: Sequence[Trajectory], background: Image, size: tuple[int, int]) -> Image:
    gray = cv2.cvtColor(cv2.cvtColor(background, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    image = np.asarray(gray * 0.6 + 40, np.uint8)
    scale = np.array([image.shape[1] / size[0], image.shape[0] / size[1]])
    thickness = max(1, round(min(image.shape[:2]) / 300))
    for path in paths:
        color = track_color(path.track_id)
        points = np.rint(path.points * scale * 16).astype(np.int32)
        cv2.polylines(image, [points], False, color, thickness, cv2.LINE_AA, shift=4)
        last = (int(points[-1, 0] // 16), int(points[-1, 1] // 16))
        cv2.circle(image, last, 2 * thickness + 1, color, cv2.FILLED, cv2.LINE_AA)
    return image


def _lane(path: Trajectory) -> Lane:
    breaks = np.flatnonzero(np.diff(path.times) > max(_GAP, 3 * path.interval))
    starts, ends = [0, *(breaks + 1)], [*breaks, len(path.times) - 1]
    spans = [(float(path.times[start]), float(path.times[end])) for start, end in zip(starts, ends, strict=True)]
    return Lane(path.track_id, f"{path.category[:9]} {path.track_id}", spans)


def _thumbnail(path: Trajectory, crop: Image | None) -> dict[str, Any]:
    return {
        "id": path.track_id,
        "category": path.category,
        "start": clock(float(path.times[0])),
        "seconds": f"{path.times[-1] - path.times[0]:.1f}",
        "image": None if crop is None else _data_uri(crop),
        "width": 0 if crop is None else crop.shape[1],
        "color": "rgb({},{},{})".format(*track_color(path.track_id)),
    }


def _presence(paths: Sequence[Trajectory], duration: float) -> list[float]:
    """Returns how many tracks were in the image, on average, in equal parts of the duration."""
    edges = np.linspace(0, duration, _BARS + 1)
    total = np.zeros(_BARS)
    for path in paths:
        overlap = np.minimum(edges[1:], path.times[-1] + path.interval) - np.maximum(edges[:-1], path.times[0])
        total += np.maximum(overlap, 0)
    return list(total / (duration / _BARS)) if duration else []


def _crossing_charts(analysis: Analysis, duration: float) -> list[tuple[str, str]]:
    """Returns for each line and direction that anything crossed a title and a chart over time."""
    charts = []
    keys = dict.fromkeys((row.line, row.direction) for row in analysis.counts)
    for line, direction in keys:
        times = [c.time_s for c in analysis.crossings if (c.line, c.direction) == (line, direction) and c.counts]
        if times:
            number = min(_BARS, max(6, int(duration // 10)))
            values, _ = np.histogram(times, bins=number, range=(0, duration))
            title = f"{line}, {direction}"
            charts.append((title, bars(values.astype(float).tolist(), duration, title)))
    return charts


def _dwell(analysis: Analysis, zones: ZonesConfig) -> list[dict[str, Any]]:
    rows = []
    for zone in zones.zones:
        dwell = [visit.dwell_s for visit in analysis.visits if visit.zone == zone]
        most = max((row.most for row in analysis.occupancy if row.zone == zone), default=0)
        median = float(np.median(dwell)) if dwell else 0.0
        rows.append(
            {"zone": zone, "visits": len(dwell), "median": median, "longest": max(dwell, default=0), "most": most}
        )
    return rows


def _summary(tracks: RunTracks, paths: Sequence[Trajectory], config: AnalyticsConfig) -> dict[str, Any]:
    """Returns numbers of tracks, and what tells how far their identities can be trusted."""
    links = [link for link in possible_links(paths, image_size(tracks), config) if link.probability >= 0.5]
    gaps = sum(int((np.diff(path.times[path.observed]) > _GAP).sum()) for path in paths)
    short = sum(bool(path.times[-1] - path.times[0] < 1) for path in paths)
    return {
        "classes": Counter(path.category for path in paths).most_common(),
        "boxes": len(tracks),
        "observed": float(tracks.observed.mean()) if len(tracks) else 0.0,
        "score": float(tracks.scores.mean()) if len(tracks) else 0.0,
        "links": [(link.before.track_id, link.after.track_id, link.probability) for link in links],
        "gaps": gaps,
        "short": short,
    }


def _settings(record: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Returns the settings of a run that are not the defaults: section, name, value."""
    defaults = json.loads(json.dumps(Config().model_dump(mode="json")), parse_constant=str)
    found = []
    for section, values in (record.get("config") or {}).items():
        for name, value in (values or {}).items() if isinstance(values, dict) else ():
            if value != defaults.get(section, {}).get(name):
                found.append((str(section), str(name), json.dumps(value)))
    return found


__all__ = ["MOST_TRACKS", "TrackSpeed", "write_report"]
