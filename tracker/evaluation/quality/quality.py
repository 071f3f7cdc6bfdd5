"""The quality of the tracks of a run as numbers, without ground truth: of each track, and of all together."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from math import isnan, nan

import numpy as np

from tracker.config import TrackerConfig
from tracker.data.run_tracks import RunTracks
from tracker.data.store import StoredFrame
from tracker.evaluation.quality.measures import (
    appearance_consistency,
    association_agreement,
    count_fragments,
    fill_fraction,
    find_jumps,
)
from tracker.evaluation.quality.passes import PassComparison, compare_with_backward_pass
from tracker.structures.boxes import Floats


@dataclass(frozen=True)
class TrackQuality:
    """The quality of one track.

    Attributes:
        track_id: The track.
        category: Its class.
        start_s: Seconds, of its first box.
        end_s: Seconds, of its last box.
        detections: Number of its boxes that were detected.
        agreement: How far the backward pass has the same detections in one track, 0 to 1; see `association_agreement`.
        fill: Fraction of the frames from its first to its last detection in which it was detected.
        fragments: Parts between which it was not detected.
        jumps: Steps between detections that no object makes; see `find_jumps`.
        appearance: How alike its detections are, 0.5 to 1, see `appearance_consistency`; nan where it is unknown.
    """

    track_id: int
    category: str
    start_s: float
    end_s: float
    detections: int
    agreement: float
    fill: float
    fragments: int
    jumps: int
    appearance: float


@dataclass(frozen=True)
class Quality:
    """The quality of all tracks of a run.

    Attributes:
        agreement: Agreement of the tracks and the backward pass, 0 to 1, computed as HOTA is. Of all measures it is the
            one that goes with HOTA and IDF1.
        id_agreement: The same as IDF1.
        fill: Mean over all detections of the `fill` of their track.
        fragments_per_second: Parts of tracks for each second of the video.
        jumps_per_minute: Impossible steps for each minute of tracks.
        appearance: Mean over all detections of the `appearance` of their track; nan without embeddings.
        tracks: The tracks, by ascending id.
    """

    agreement: float
    id_agreement: float
    fill: float
    fragments_per_second: float
    jumps_per_minute: float
    appearance: float
    tracks: tuple[TrackQuality, ...]

    def describe(self) -> dict[str, str]:
        """Returns the measures of all tracks together as texts by name."""
        texts = {
            "agreement": f"{self.agreement:.2f} (as IDF1 {self.id_agreement:.2f})",
            "fill": f"{self.fill:.2f}",
            "fragments": f"{self.fragments_per_second:.2f} for each second of video",
            "impossible steps": f"{self.jumps_per_minute:.2f} for each minute of tracks",
            "appearance": "" if isnan(self.appearance) else f"{self.appearance:.2f} (0.5 tells nothing, 1 all)",
        }
        return {name: text for name, text in texts.items() if text}


def measure_quality(
    tracks: RunTracks,
    frames: Iterable[StoredFrame],
    config: TrackerConfig,
    reid_class_ids: Collection[int] = (),
    categories: Sequence[str] = (),
) -> Quality:
    """Measures tracks by the detections that they were made of.

    Args:
        tracks: The tracks of a run.
        frames: Its stored frames, from the last to the first, with the detections that were tracked.
        config: The settings of its tracker; see `reference_settings`.
        reid_class_ids: See `DeepSort`.
        categories: Names of the classes by the labels of the detections.
    """
    comparison = compare_with_backward_pass(tracks, frames, config, reid_class_ids, categories)
    agreement, hota, idf1 = association_agreement(tracks, comparison)
    appearance = appearance_consistency(tracks, comparison)
    found = tuple(_measure_track(one, comparison, agreement, appearance) for one in tracks.by_track())
    weights = np.array([one.detections for one in found], np.float64)
    times = comparison.frame_times
    seconds = float(times[-1] - times[0]) if len(times) else 0.0
    track_minutes = sum(one.end_s - one.start_s for one in found) / 60
    return Quality(
        agreement=hota,
        id_agreement=idf1,
        fill=_mean([one.fill for one in found], weights),
        fragments_per_second=sum(one.fragments for one in found) / seconds if seconds else 0.0,
        jumps_per_minute=sum(one.jumps for one in found) / track_minutes if track_minutes else 0.0,
        appearance=_mean([one.appearance for one in found], weights, default=nan),
        tracks=found,
    )


def _measure_track(
    track: RunTracks, comparison: PassComparison, agreement: dict[int, float], appearance: dict[int, float]
) -> TrackQuality:
    track_id, times = int(track.ids[0]), comparison.frame_times
    return TrackQuality(
        track_id=track_id,
        category=track.categories[int(track.labels[-1])],  # by vote over the whole track so far
        start_s=float(track.times[0]),
        end_s=float(track.times[-1]),
        detections=int(track.observed.sum()),
        agreement=agreement.get(track_id, 0.0),
        fill=fill_fraction(track, times),
        fragments=count_fragments(track, times),
        jumps=int(find_jumps(track).sum()),
        appearance=appearance.get(track_id, nan),
    )


def _mean(values: list[float], weights: Floats, default: float = 0.0) -> float:
    known = ~np.isnan(values) & (weights > 0) if values else np.zeros(0, np.bool_)
    return float(np.average(np.array(values)[known], weights=weights[known])) if known.any() else default
