"""Crossings of lines while the tracks of a live source go on: each as soon as it is sure."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from tracker.analytics.crossings import Crossing, Line
from tracker.analytics.trajectories import Trajectory, anchor_points
from tracker.config import AnalyticsConfig, ZonesConfig
from tracker.structures.types import Frame, Tracks

_MOST_POINTS = 2000
"""Points of a track that are kept while it is too near to a line to tell its side; then every other one is."""


@dataclass(eq=False)
class _Path:
    """A track near one line: its points since it was last seen on a side for sure, and where it has crossed.

    Attributes:
        category: Name of its class.
        side: That side; 0 as long as there is none.
        rows: Frame, time, box and whether it is observed, of each point.
        crossed: Directions in which it crossed, each of which counts once.
    """

    category: str = ""
    side: int = 0
    rows: list[tuple[int, float, list[float], bool]] = field(default_factory=list)
    crossed: set[str] = field(default_factory=set)


class LiveCrossings:
    """Finds the crossings of a camera's lines, frame by frame; memory is that of the tracks that are there.

    They are those of `find_crossings` that are within one track and more probable than not; that a track continues
    another one is not known while it goes on.

    Example:
        >>> zones = ZonesConfig.model_validate({"lines": {"gate": [[0.5, 0], [0.5, 1]]}})
        >>> crossings = LiveCrossings(zones, (100, 100))
        >>> from dataclasses import replace
        >>> from tracker import DeepSort, Detections, TrackerConfig
        >>> tracker, image = DeepSort(TrackerConfig(n_init=1)), np.zeros((100, 100, 3), np.uint8)
        >>> for number in range(8):
        ...     box = np.array([[30 + 4 * number, 40, 50 + 4 * number, 60]], np.float32)
        ...     detections = Detections(box, np.ones(1, np.float32), np.zeros(1, np.int64))
        ...     tracks = replace(tracker.update(detections, None, number / 10), categories=("person",))
        ...     for crossing in crossings.update(Frame(number, number / 10, number, image), tracks):
        ...         print(crossing.line, crossing.direction, crossing.track_id)
        gate left 1
    """

    def __init__(self, zones: ZonesConfig, size: tuple[int, int], config: AnalyticsConfig | None = None) -> None:
        """Takes the lines, width and height of the images (pixels), and the anchor and the hysteresis."""
        self._config = config or AnalyticsConfig()
        self._lines = [Line(name, line, size, self._config) for name, line in zones.lines.items()]
        self._paths: dict[tuple[int, int], _Path] = {}  # by track and number of the line

    def update(self, frame: Frame, tracks: Tracks) -> list[Crossing]:
        """Returns the crossings that are sure with the tracks of a frame."""
        points = anchor_points(tracks.boxes, self._config)
        heights = np.maximum(tracks.boxes[:, 3] - tracks.boxes[:, 1], 1.0).astype(np.float64)
        found = []
        for number, line in enumerate(self._lines):
            for row, side in enumerate(line.sides(points, heights).tolist()):
                track_id = int(tracks.ids[row])
                path = self._paths.setdefault((track_id, number), _Path())
                path.category = tracks.categories[tracks.labels[row]]
                path.rows.append((frame.index, frame.time, tracks.boxes[row].tolist(), bool(tracks.observed[row])))
                if side:
                    if side != path.side:
                        found += self._crossings(line, path, track_id)
                    path.side = side
                    del path.rows[:-1]
                elif len(path.rows) > _MOST_POINTS:
                    del path.rows[1::2]
        return found

    def end(self, ids: Iterable[int]) -> list[Crossing]:
        """Forgets tracks that have ended; returns their crossings just before, which are more probable than not."""
        found = []
        for track_id in ids:
            for number, line in enumerate(self._lines):
                path = self._paths.pop((track_id, number), None)
                if path is not None:
                    found += self._crossings(line, path, track_id)
        return found

    def _crossings(self, line: Line, path: _Path, track_id: int) -> list[Crossing]:
        """Returns the crossings between the points of a path, in directions in which it did not cross before."""
        if len(path.rows) < 2:
            return []
        frames, times, boxes, observed = zip(*path.rows, strict=True)
        trajectory = Trajectory(
            track_id=track_id,
            category=path.category,
            frames=np.array(frames, np.int64),
            times=np.array(times, np.float64),
            points=anchor_points(np.array(boxes), self._config),
            boxes=np.array(boxes, np.float64),
            observed=np.array(observed, np.bool_),
        )
        crossings = [crossing for crossing in line.crossings(trajectory) if crossing.counts]
        found = [crossing for crossing in crossings if crossing.direction not in path.crossed]
        path.crossed.update(crossing.direction for crossing in found)
        return found
