"""The settings of a run: source, detector, appearance, tracker and output.

A field's name is unique over all sections, so that the command line can drop the section: `detector.score` in YAML is
`--score` on the command line.
"""

from collections.abc import Mapping
from fractions import Fraction
from math import inf
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field

from tracker.config.base import (
    ClockTime,
    Count,
    Duration,
    Fraction01,
    FrameRate,
    Limit,
    NonNegative,
    Positive,
    Section,
    read_yaml,
    validate_section,
)
from tracker.config.limits import ObjectCounts
from tracker.config.zones import RegionsText
from tracker.errors import InputError


class SourceConfig(Section):
    """Settings of the source: which frames are read."""

    start: NonNegative = 0.0
    """First time to process, seconds since the source's first frame."""
    end: Positive = float("inf")
    """Time to stop at, seconds since the source's first frame; the frame at that time is not processed."""
    every: Count = 1
    """Process every N-th frame; the tracker uses the real interval between the processed frames."""
    fps: FrameRate = Fraction(30)
    """Frame rate of a source without times, frames per second: images, stored detections, bare streams such as .h264.
    It may be a fraction, such as 30000/1001. A stream or a sequence that states its own rate has that one, unless this
    is given; other videos have times."""
    start_time: ClockTime = ""
    """Date and time of the source's first frame, such as 2026-05-24T08:00:10+02:00; empty for the one in the name of
    the file or, without it, in its container (`creation_time`)."""
    stream: Annotated[int, Field(ge=0)] | None = None
    """Number of the video stream to read, as in the file, from 0; none for the file's default one."""
    timeout: Positive = 10.0
    """Seconds without a frame after which the connection to a live source, or to an address that does not answer, is
    given up; three times as long for HLS and DASH, which send some seconds of video at once."""
    reconnect: Literal["forever"] | Annotated[int, Field(ge=0)] = 10
    """Tries to restore the connection to a live source, first after half a second, then less and less often, down to
    twice a minute; forever, or 0 for none. It is counted anew once a connection has lasted 5 s."""
    live: Literal["auto", "latest", "all"] = "auto"
    """Frames of a live source that are processed where the machine is slower than the source. latest: the newest one,
    so that the delay stays short. all: up to a minute of them waits. auto is all for HTTP, whose frames come in bursts
    (but not for Motion JPEG), and latest for cameras and all others."""
    max_parallel: Count = 2
    """Most files processed at the same time if several sources are given; cameras and addresses do not count."""

    @property
    def has_fps(self) -> bool:
        """True if a frame rate was given, instead of the default."""
        return "fps" in self.model_fields_set


class RuntimeConfig(Section):
    """Settings of the hardware and the library that run the networks."""

    device: str = "auto"
    """auto, cpu, cuda, cuda:N or mps."""
    precision: Literal["auto", "fp32", "half"] = "auto"
    """Arithmetic of the networks; auto is half on CUDA devices and fp32 elsewhere."""
    backend: Literal["auto", "torch", "openvino", "onnxruntime"] = "auto"
    """Library that runs the networks; auto is the fastest one installed: on the CPU ONNX Runtime, OpenVINO or PyTorch,
    elsewhere PyTorch. Their results differ by rounding."""
    batch_size: Count = 4
    """Frames in a batch of the detector; results do not depend on it."""
    threads: Annotated[int, Field(ge=0)] = 0
    """CPU threads for the networks, 0 for all cores; results do not depend on it."""


_GIVEN_SCORE = 0.1


class DetectionFilterConfig(RuntimeConfig):
    """Settings that stored detections share with a detector: which detections are used, and how networks run."""

    classes: tuple[str, ...] = ()
    """Names of the classes to keep; empty keeps all classes of the detector."""
    score: Fraction01 = 0.5
    """Score threshold: detections below it are dropped. Unless it or `class_scores` is given, a detector of
    `track train detector` has the thresholds that its training measured, and detections of other programs that of 0.1,
    as these have chosen them already."""
    class_scores: dict[str, Fraction01] = Field(default={})
    """Score thresholds of some classes, {name: score}; the others have `score`."""
    roi: RegionsText = ""
    """Regions of interest: a YAML file of zones, as `track count` reads them. Detections outside of all of its `zones`,
    or in one of those under `ignore`, are stored but not tracked."""
    roi_anchor: Literal["bottom", "center"] = "bottom"
    """The point of a box that has to be in a region: the middle of its lower side, or its center."""

    @property
    def least_score(self) -> float:
        """Returns the threshold of the network itself, below those of all classes."""
        return min((self.score, *(score - 1e-6 for score in self.class_scores.values())))

    def for_given_detections(self) -> Self:
        """Returns a copy with the threshold of detections of other programs, unless one is given."""
        if {"score", "class_scores"} & self.model_fields_set:
            return self
        return self.model_copy(update={"score": _GIVEN_SCORE})


class DetectorConfig(DetectionFilterConfig):
    """Settings of the detector."""

    model: str = "builtin"
    """Detector by name, see `track models`; a weights file states its own."""
    weights: str = ""
    """A .safetensors or .ckpt file of `track train detector`, an exported file, or `coco` (torchvision's weights,
    downloaded); empty for the built-in weights."""
    size: Literal["auto"] | Count = "auto"
    """Longest side, pixels, to which an image is reduced for the network; smaller images are not enlarged. auto is the
    size in the model's description, 640 for the built-in one. Torchvision's networks resize by themselves, auto, or to
    this size."""
    tiles: str = "none"
    """Overlapping parts of each image to detect as well, for small objects in large images: columns x rows, such as
    2x2; auto, as many as the network sees nearly unreduced; follow, those of auto where small objects were found and
    the others in turn; or none. Each costs as much as an image."""
    nms_iou: Fraction01 = 0.4
    """NMS threshold: of two boxes of one class whose IoU is above it, the lower-scored one is dropped."""
    class_groups: tuple[str, ...] = (
        "car/bus/truck/train",
        "bicycle/motorcycle",
        "cat/dog/horse/sheep/cow/elephant/bear/zebra/giraffe",
    )
    """Groups of classes that are often taken for each other, separated by /; names that the detector does not have are
    ignored."""
    group_nms_iou: Fraction01 = 0.6
    """NMS threshold for boxes of different classes in one of `class_groups`; 1 keeps them all."""
    agnostic_nms_iou: Fraction01 = 0.8
    """NMS threshold for boxes of any different classes: one object gets one class. 1 keeps them all."""
    max_detections: Count = 100
    """Most detections in a frame."""
    detect_every: Count = 1
    """Run the detector on every N-th processed frame; boxes in the frames between are predicted (observed = 0)."""
    realtime: bool = False
    """Keep the source's own pace: run the detector on as many frames as that allows, and predict the boxes in the
    others. A file then takes as long as it plays, and results depend on the machine. Not with offline."""
    masks: bool = True
    """Predict masks too, if the network can (Mask R-CNN): they are drawn, and written to .json."""


class AppearanceConfig(Section):
    """Settings of the appearance embeddings (Re-ID), and of the classifier for finer classes."""

    embedding_source: Literal["network", "roi"] = "network"
    """network: an embedder is run on the crops. roi: the detector's own RoI features are used, for all of its classes,
    without a second network. `neutral_cosine_distance` is then the built-in detector's, unless it is set: for another
    detector measure it, by `track eval embedder SEQUENCE --gap 5,30 --weights DETECTOR`."""
    embedder: str = "builtin"
    """`builtin`, `none` (motion alone), or a .safetensors file of `track train embedder`."""
    save_embeddings: bool = False
    """Give each track the embedding of its detection: the column `embedding` of .parquet files of tracks, and
    `data["embeddings"]` in Python."""
    classify: str = ""
    """File of a classifier of `track train classifier`: tracks get a fine class too, by vote over their crops."""
    classify_classes: tuple[str, ...] = ()
    """Classes of the detector that get a fine class; empty for all."""


class TrackerConfig(Section):
    """Settings of the tracker. The defaults were chosen on MOT15 with three detectors, at 7 to 30 frames per second, on
    every frame and on every second and third; configs/ holds published trackers as other values of the same settings.

    Sources: DeepSORT, arXiv 1703.07402; SORT, 1602.00763; ByteTrack, 2110.06864; OC-SORT, 2203.14360; BoT-SORT,
    2206.14651; StrongSORT, 2202.13514; C-BIoU, 2211.14317.
    """

    max_age: Positive = 3.0
    """Seconds without a detection after which a track is deleted."""
    n_init: Count = 2
    """Detections that confirm a track."""
    tentative_misses: Annotated[int, Field(ge=0)] = 1
    """Frames in a row that a track may miss before it is confirmed (DeepSORT: 0)."""
    max_occlusion: Fraction01 = 0.4
    """A track is not confirmed while observed, confirmed tracks of its class together cover more than this fraction of
    its box, unless there is `min_evidence` for it: it is probably a part of one of them, or two of them in one box. 0
    confirms it anyway (DeepSORT)."""
    start_score: Fraction01 = 0.8
    """Detections below this score continue tracks but start none on their own (ByteTrack: 0.7)."""
    min_evidence: NonNegative = 4.0
    """Evidence that starts a track of detections from 0.55 to `start_score` that follow each other, nats: the sum of
    the log-odds of their scores. Four times as much starts one that others cover (`max_occlusion`), of which the
    uncovered fraction counts. 0 starts no such tracks (ByteTrack)."""
    high_score: Fraction01 = 0.65
    """Detections below this score are matched in a second pass, to tracks that were observed in the frame before
    (ByteTrack: 0.6)."""
    low_iou: Fraction01 = 0.35
    """Least IoU for a match in the second pass (ByteTrack: 0.5)."""
    min_visible: Fraction01 = 0.7
    """A missed track is deleted when less than this fraction of its predicted box lies inside the image, relative to
    that of its latest detection, which may reach out of the image."""
    border_overlap: Fraction01 = 0.7
    """At the image border, a detection that would start a track continues the track that was just missed there, if this
    fraction of the smaller box lies in the larger one and the class differs or the track is leaving: objects cut off by
    the border are often misclassified. The track's class is that of most detections. 0 starts a new track."""
    duplicate_iou: Fraction01 = 0.0
    """A missed track is deleted when its IoU with an observed one of its class is above this; 0 keeps it (ByteTrack:
    0.85)."""
    min_presence: Fraction01 = 0.5
    """Least probability that the object of a confirmed track without detections is still visible, and was only missed
    by the detector, for the track to be reported, with observed = 0. It depends on how often the detector missed the
    object between earlier detections. 1 reports detected tracks alone. Source: IPDA, Musicki and Evans 2004."""
    max_coast: NonNegative = 0.0
    """Seconds for which any confirmed track without detections is still reported, with observed = 0."""
    detection_weight: Fraction01 = 0.25
    """Weight of the detection in a reported box; the rest is the Kalman filter's estimate. Without `offline`, it is
    nearer to 1 the less the heights of boxes deviate from their predictions, compared with what the settings of noise
    let expect; 0 and 1 stay as they are."""

    noise_unit: Literal["height", "longer side"] = "longer side"
    """Side of the box that noise is proportional to. The height is that of the published trackers, of people."""
    position_noise: Positive = 0.005
    """Process noise of the position for 1/30 s, as a fraction of `noise_unit` (DeepSORT: 1/20). It grows with the
    real interval, so that it is the same at every frame rate."""
    velocity_noise: Positive = 0.0011
    """Process noise of the velocity for 1/30 s, as a fraction of `noise_unit` per 1/30 s (DeepSORT: 1/160)."""
    measurement_noise: Positive = 0.075
    """Standard deviation of a detected box, as a fraction of `noise_unit` (DeepSORT: 1/20)."""
    confidence_noise: Fraction01 = 0.45
    """Fraction of the measurement's variance that a score of 1 removes, in proportion to the score (StrongSORT: 1,
    DeepSORT: 0)."""
    adaptive_noise_gate: NonNegative = 9.0
    """Squared innovation, in variances, above which the filter's covariance is inflated until that innovation is
    expected, so that it follows a maneuver. 0 never does. Source: the strong tracking filter, Zhou and Frank 1996, with
    one fading factor for each axis."""
    re_update: bool = True
    """Replace the predictions of a missed track, once it is matched again, by updates along the straight line between
    both detections (OC-SORT)."""
    camera_motion: Literal["none", "tracks", "flow", "ecc"] = "tracks"
    """Camera motion compensation: by what the motion of all tracks has in common, without images; by sparse optical
    flow (BoT-SORT), or by ECC (StrongSORT)."""

    association: Literal["likelihood", "iou", "mahalanobis"] = "likelihood"
    """Motion cost of a track and a detection. iou: the IoU of predicted and detected box (SORT). mahalanobis: the
    distance in standard deviations (DeepSORT). likelihood: the IoU and the negative log-likelihood (nats) of the
    detection under the filter's prediction; for tracks that were missed, the latter alone. Source: Blackman and Popoli
    1999, chapter 6."""
    min_iou: Fraction01 = 0.2
    """Least IoU for a match, where the cost is an IoU (SORT: 0.3)."""
    buffer_scale: NonNegative = 0.1
    """Fraction of their size by which boxes are expanded on each side before their IoU is computed (C-BIoU: 0.3 and
    0.5)."""
    generalized_iou: bool = False
    """Use the generalized IoU, from -1 to 1, scaled to 0 to 1, as the cost. Source: arXiv 1902.09630."""
    score_weight: Fraction01 = 0.0
    """Weight of the detection's score in the IoU cost (ByteTrack: 1)."""
    direction_weight: NonNegative = 0.0
    """Cost of a detection in the direction opposite to the track's past motion (OC-SORT: 0.2)."""
    recover_iou: Fraction01 = 0.35
    """Least IoU for a pass that matches unmatched tracks by their last detected box; 0 leaves it out (OC-SORT: 0.3).
    With association = likelihood, only tracks that were detected in the frame before."""
    cascade: bool = False
    """Match tracks in order of the time since their last detection, instead of all at once (DeepSORT)."""
    match_across_classes: bool = False
    """Match detections of other classes than the track's; its class is then that of most of them."""
    likelihood_weight: NonNegative = 0.3
    """Cost of one nat of negative log-likelihood, beside an IoU cost of 0 to 1."""
    max_nll: Positive = 9.2
    """Largest negative log-likelihood for a match, nats; it is 0 for a perfectly known track at its place."""
    absence_penalty: NonNegative = 0.8
    """Nats added for each second that a track is missed."""
    height_weight: Fraction01 = 0.5
    """Weight of the height in the likelihood; it jumps when feet are hidden."""
    gating_probability: Annotated[float, Field(gt=0, lt=1)] = 0.95
    """Chi-square mass (4 degrees of freedom) of the gate of association = mahalanobis."""

    appearance_evidence: NonNegative = 20.0
    """Nats for a cosine distance of 1 between a track and a detection, where association = likelihood."""
    neutral_cosine_distance: Annotated[float, Field(ge=0, le=2)] = 0.0
    """Cosine distance that is evidence neither for nor against the same identity; 0 for the value in the embedder's
    file, which its training measured, or 0.35 if there is none."""
    max_cosine_distance: Annotated[float, Field(gt=0, le=2)] = 2.0
    """Largest cosine distance for a match; 2 is no limit (DeepSORT: 0.2)."""
    appearance_weight: Fraction01 = 1.0
    """Weight of appearance against motion where association = mahalanobis (DeepSORT: 1, StrongSORT: 0.98)."""
    appearance_momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """Momentum of the moving average of a track's embeddings (StrongSORT: 0.9); 0 keeps a gallery instead."""
    gallery_size: Count = 100
    """Most embeddings in a track's gallery, the latest ones, of which the nearest counts (DeepSORT: 100)."""

    max_objects: ObjectCounts = ""
    """Most objects in the scene at a time: a number, or one for each of some classes: person=2,dog=1. No track starts
    beyond it; an object that appears then continues a track that was lost. Empty for no limit."""
    exactly: ObjectCounts = ""
    """Number of objects that are there from the first to the last frame, covered or not, as in an arena; as in
    `max_objects`. There are so many identities, and a lost one is kept until it is found again."""

    rescore: Fraction01 = 0.0
    """Run the detector's RoI head on the predicted boxes of missed tracks, and use those that score at least this; 0
    does not. Source: Tracktor, arXiv 1903.05625."""
    offline: bool = False
    """Read the whole file before any result is written: link tracklets, smooth, interpolate gaps. Not for live
    sources."""
    max_gap: NonNegative = 1.0
    """Longest gap in a track that offline tracking interpolates, seconds."""
    fill_support: Fraction01 = 0.75
    """Fraction of the frames beside a gap, of as many on each side as it has, in which the object must be detected for
    the gap to be filled; heights at its two ends must agree as well. 0 fills every gap of up to `max_gap`."""
    relink_gap: NonNegative = 1.0
    """Seconds without a detection after which offline tracking splits a track into tracklets and links them anew."""
    link_gap: NonNegative = 3.0
    """Longest gap over which offline tracking links tracklets, seconds."""
    min_detections: Count = 5
    """Detections that a track needs to be kept by offline tracking."""

    @property
    def neutral_distance(self) -> float:
        """Returns `neutral_cosine_distance` or, if that is 0, the built-in embedder's."""
        return self.neutral_cosine_distance or 0.35

    @property
    def longest_absence(self) -> float:
        """Seconds without a box after which a track cannot come back.

        Example:
            >>> [TrackerConfig(max_age=2, **each).longest_absence for each in ({}, {"offline": True}, {"exactly": 4})]
            [2.0, 3.0, inf]
        """
        if self.exactly:
            return inf
        return max(self.max_age, self.link_gap) if self.offline else self.max_age

    def with_neutral_distance(self, embedder_distance: float) -> "TrackerConfig":
        """Returns a copy with an embedder's neutral distance, unless one is set or the embedder's is 0 (unknown)."""
        if self.neutral_cosine_distance or not embedder_distance:
            return self
        return self.model_copy(update={"neutral_cosine_distance": embedder_distance})


Labels = Literal["none", "id", "class", "full"]


class ResultConfig(Section):
    """Settings of the results in a folder: what is stored, and drawing."""

    store: bool = True
    """Store the detections with their embeddings in the folder of the results, so that the run can be resumed, and
    tracked again without the detector; not with named outputs."""
    overwrite: bool = False
    """Replace existing results; without it the default folder gets a new number and a named file is refused."""
    clip_boxes: bool | None = None
    """Clip the boxes in tables to the image. Without it, they are clipped unless given detections (`track retrack`)
    reach out of the image themselves: boxes then stay as they are."""
    datetime: bool = False
    """Add the column `datetime` to .csv and .parquet tables of tracks: date and time of each frame, by `start_time`."""
    labels: Labels = "full"
    """Labels of the drawn boxes: `none`, `id`, `class` (class and id), or `full` (also the score). Where a label would
    cover another one, it is drawn at another side of its box, without the score, or as the id alone."""
    line_width: Annotated[int, Field(ge=0)] = 0
    """Width of the lines of drawn boxes, pixels; 0 for one that suits the size of the images."""
    trail: NonNegative = 2.0
    """Length of the drawn trail, seconds."""
    crf: Annotated[int, Field(ge=0, le=51)] = 23
    """x264 quality: lower is better and larger."""
    preset: Literal["ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow"] = "veryfast"
    """x264 speed against size."""


class OutputConfig(ResultConfig):
    """Settings of the results: files and drawing."""

    output: tuple[str, ...] = ()
    """Files to write, by suffix: .mp4 .mkv .mov video, .csv, .parquet, .txt MOTChallenge, .json COCO. {name} stands for
    the source's name. Without it: the folder tracked/NAME/ with video.mp4, tracks.csv, tracks.parquet, the stored
    detections and run.json."""
    detections: str = ""
    """CSV file in which to store the detections before tracking; `track retrack` tracks them again."""
    all_tracks: str = ""
    """CSV file for the tracks of all sources together, with a column that names the source."""
    state: str = ""
    """File in which the tracks of a live source are kept, written every few seconds; a run that finds it goes on with
    its ids. {name} as for output. With `segment` it is state.safetensors in the folder of the results, unless named."""
    segment: Duration = ""
    """Length of the segments, such as 1h or 1d, in which the results of a live source are written: a folder for each,
    named by its start in UTC, in that of the run, or of the named outputs. A run over the same source adds to them."""
    keep: Limit = ""
    """Age or size, such as 30d or 200GB, beyond which the oldest segments are removed; empty keeps all."""
    disk_full: Literal["stop", "remove"] = "stop"
    """stop: a run whose disk is full says so and ends. remove: the oldest segments are removed when less than 1 GiB, or
    5 % of a small disk, is free."""
    show: bool = False
    """Also show the annotated video in a window, if there is a screen; q closes it and ends the run."""


class Config(Section):
    """All settings of a run."""

    source: SourceConfig = SourceConfig()
    detector: DetectorConfig = DetectorConfig()
    appearance: AppearanceConfig = AppearanceConfig()
    tracker: TrackerConfig = TrackerConfig()
    output: OutputConfig = OutputConfig()

    def with_name(self, name: str) -> "Config":
        """Returns a copy with `name` in place of {name} in the names of outputs."""
        files = tuple(file.replace("{name}", name) for file in self.output.output)
        detections = self.output.detections.replace("{name}", name)
        state = self.output.state.replace("{name}", name)
        output = self.output.model_copy(update={"output": files, "detections": detections, "state": state})
        return self.model_copy(update={"output": output})

    def for_given_detections(self) -> "Config":
        """Returns a copy with the score threshold of detections of other programs, unless one is given."""
        return self.model_copy(update={"detector": self.detector.for_given_detections()})

    def with_overwrite(self) -> "Config":
        """Returns a copy that may replace existing results."""
        return self.model_copy(update={"output": self.output.model_copy(update={"overwrite": True})})


def load_config(
    config: Config | str | Path | Mapping[str, Any], overrides: Mapping[str, Mapping[str, Any]] | None = None
) -> Config:
    """Reads the settings of a run; what `config` does not name keeps its default.

    Args:
        config: A YAML file, the name of a shipped one (`bytetrack`), a mapping of sections, or a `Config`.
        overrides: Values that replace those of `config`: section -> key -> value.

    Raises:
        InputError: The file or name does not exist, a key is unknown, or a value is out of its range.

    Example:
        >>> load_config("bytetrack", {"tracker": {"max_age": 2}}).tracker.max_age
        2.0
    """
    if isinstance(config, Config):
        if not overrides:
            return config
        return merge_config(config.model_dump(exclude_unset=True), overrides, where="the config")
    if isinstance(config, Mapping):
        return merge_config(config, overrides or {}, where="the config")
    if not isinstance(config, str | Path):
        raise InputError(
            f"a config is a name, a path, a mapping of sections or a Config, not {type(config).__name__}: for settings "
            "of one section give Config(tracker=...)"
        )
    return merge_config(read_yaml(config), overrides or {}, where=str(config))


def merge_config(base: Mapping[str, Any], overrides: Mapping[str, Mapping[str, Any]], where: str) -> Config:
    """Returns a config of the values of `base`, replaced by those of `overrides`.

    Raises:
        InputError: See `validate_section`; `where` names the source of the values.
    """
    values = dict(base)
    for section, changes in overrides.items():
        old = values.get(section) or {}
        values[section] = {**old, **changes} if isinstance(old, dict) else old
    return validate_section(Config, values, where)
