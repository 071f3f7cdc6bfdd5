"""The settings of `track crops`, `track export`, `track batch` and of pages."""

from typing import Annotated, Literal

from pydantic import Field

from tracker.config.base import Count, Fraction01, NonNegative, Section
from tracker.config.run import Config, DetectorConfig, TrackerConfig


class CropsConfig(Section):
    """Settings of the crops that are extracted from tracks."""

    per_track: Count = 16
    """Most crops of a track: the best one, and those most different from it and from each other."""
    margin: NonNegative = 0.0
    """Fraction of its size by which a box is expanded on each side before it is cropped."""
    min_duration: NonNegative = 0.5
    """Least duration of a track, seconds; shorter ones are left out."""
    quality: Annotated[int, Field(ge=90, le=100)] = 95
    """JPEG quality of the crops."""


SELF_SUPERVISED_TRACKING = Config(tracker=TrackerConfig(max_age=0.5))
"""Settings for tracks that an embedder learns from without labels: a track that continues with another identity after a
long gap is a wrong label, while two tracks of one identity are none."""


class ExportConfig(Section):
    """Settings of `track export MODEL`, and of the tracks of a run."""

    format: Literal["onnx", "openvino", "torchscript", "csv", "parquet", "mot", "coco", "cvat", "dive", "via"] = "onnx"
    """Of a detector: onnx, openvino (.xml and .bin) or torchscript. Of tracks: csv, parquet, mot (MOTChallenge), coco,
    cvat (CVAT for video), dive (DIVE's JSON) or via (VIA-tracks, which `movement` reads)."""
    weights: str = DetectorConfig().weights
    """See `track`."""
    score: Fraction01 = 0.05
    """Score threshold inside the file; a higher one can be applied to its results, but not a lower one."""
    nms_iou: Fraction01 = DetectorConfig().nms_iou
    """NMS threshold inside the file; see `track`."""
    max_detections: Count = DetectorConfig().max_detections
    """Most detections in an image; part of the file."""
    masks: bool = DetectorConfig().masks
    """Export masks too, if the network has them."""


class BlurConfig(Section):
    """Settings of `track blur RUN`."""

    method: Literal["blur", "pixelate", "fill"] = "blur"
    """Method that hides a region: blur and pixelate leave four cells along its shorter side, fill makes it black."""
    shape: Literal["box", "mask"] = "box"
    """Hide boxes, or the masks that the run stored (Mask R-CNN); a box where a track has no mask."""
    margin: NonNegative = 0.2
    """Fraction of its longer side by which a box is expanded on each side; a mask by that of its height."""
    extend: NonNegative = 0.5
    """Seconds for which a track is hidden before its first and after its last frame, where it was not yet or no longer
    found."""
    sound: bool = True
    """Keep the sound."""


class BatchConfig(Section):
    """Settings of `track batch SOURCES`."""

    workers: Annotated[int, Field(ge=0)] = 0
    """Number of sources that are tracked at the same time, each by a worker with networks of its own. 0 is one on this
    machine; on a Ray cluster, one for each GPU or, without GPUs, for each 4 cores."""
    ray: str = ""
    """Use the workers of a Ray cluster: auto for the one that runs on this machine, local for a new one on this machine
    alone, or the address of a node. Needs the extra batch."""
    split: NonNegative = 600.0
    """Least seconds of the pieces into which long sources are split if there are more workers than sources: the workers
    detect in the pieces at the same time, and the tracks are the same. 0 splits none."""
    join_gap: NonNegative = 0.0
    """Recordings of one camera that follow each other within so many seconds, by the clock in their names or
    containers, are tracked as one source: ids and times go on from file to file. 0 tracks each file alone."""
    work: str = ""
    """Folder of this machine for unfinished results where these are remote; empty for ~/.cache/video-tracker/batch."""
    retries: Annotated[int, Field(ge=0)] = 2
    """Further attempts at a source whose worker died, or that a bug ended."""


class WebConfig(Section):
    """Settings of the commands that serve a page."""

    host: str = "127.0.0.1"
    """Address at which the page is served; any but this machine's own needs a token. 0.0.0.0 is every address."""
    port: Annotated[int, Field(ge=0, le=65535)] = 8710
    """Port of the page; the next free one if it is the default and taken, any free one if it is 0."""
    token: str = ""
    """Secret that the page's address has to contain."""


class EventsConfig(Section):
    """Settings of the events of `track live`, and of where they are sent."""

    zones: str = ""
    """YAML file of lines, as for `track count`, whose crossings are events; {name} stands for the source's name."""
    webhook: str = ""
    """Address (http or https) to which each event is posted as JSON."""
    mqtt: str = ""
    """Topic of a broker to which each event is published as JSON: mqtt://HOST/TOPIC, or mqtts:// for TLS."""
