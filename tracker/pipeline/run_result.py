"""The result of a run, and what its record says of it."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tracker.pipeline.prefetch import QueueStats
from tracker.pipeline.summary import Summary
from tracker.structures.end_reason import EndReason


@dataclass
class RunResult:
    """The result of a run.

    Attributes:
        output_paths: The files that were written.
        summary: The tracks, and how long each was seen.
        frames: Number of frames processed.
        elapsed: Seconds that it took, without loading.
        corrupt_packets: Packets or images that could not be decoded.
        end: The reason for which it ended.
        frames_predicted: Frames on which the detector did not run.
        frames_kept: Frames whose stored detections were used, of a run that was resumed.
        filtered_out: Stored detections that were left out because of their score, class or position.
        outside_roi: Detections that were not tracked because they lie outside of the regions of interest.
        seconds: Time spent in each stage, by name; more than `elapsed` in all where stages work at the same time.
        queue_stats: How full the queues between the stages were, by name.
        source: The source, as `Source.uri` names it.
        live: State and counts of a live source (see `LiveStatus`); empty for others.
    """

    output_paths: list[Path]
    summary: Summary
    frames: int = 0
    elapsed: float = 0.0
    corrupt_packets: int = 0
    end: EndReason = EndReason.COMPLETE
    frames_predicted: int = 0
    frames_kept: int = 0
    filtered_out: int = 0
    outside_roi: int = 0
    seconds: dict[str, float] = field(default_factory=dict)
    queue_stats: dict[str, QueueStats] = field(default_factory=dict)
    source: str = ""
    live: dict[str, Any] = field(default_factory=dict)

    @property
    def stopped(self) -> bool:
        """True if the run was stopped before the end."""
        return self.end is EndReason.STOPPED

    @property
    def truncated(self) -> bool:
        """True if the file stopped before its stated end."""
        return self.end is EndReason.TRUNCATED

    def to_json(self) -> dict[str, Any]:
        """Returns what the record of the run says of its result."""
        return {
            "frames": self.frames,
            "frames_predicted": self.frames_predicted,
            "frames_kept": self.frames_kept,
            "corrupt_packets": self.corrupt_packets,
            "outside_roi": self.outside_roi,
            "tracks": {name: n for name, n in self.summary.counts.items() if n},
            "elapsed_s": round(self.elapsed, 3),
            "stage_s": {stage: round(seconds, 3) for stage, seconds in self.seconds.items()},
            "queues": {
                name: {"size": stats.size, "highest": stats.highest, "mean": round(stats.mean, 2)}
                for name, stats in self.queue_stats.items()
            },
        }
