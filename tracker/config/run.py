"""The settings of a run: what is read, found, told apart, tracked and written.

A leaf's name is unique over all sections, so that the command line can drop the section: `detector.score` in
YAML is `--score` on the command line.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from tracker.config.base import Count, Fraction01, NonNegative, Positive, Section, read_yaml, validated


class SourceConfig(Section):
    """What is read of the source."""

    start: NonNegative = 0.0
    """First moment to process, seconds since the source's first frame."""
    end: Positive = float("inf")
    """Moment to stop at, seconds since the source's first frame; that frame is not processed."""
    every: Count = 1
    """Process every N-th frame; the tracker sees the real interval between the processed frames."""
    fps: Positive = 30.0
    """Frame rate of a folder or glob of images, or of stored detections, frames per second, where nothing else says it;
    videos know their own."""
    timeout: Positive = 10.0
    """Seconds without a frame after which a live source, or an address that does not answer, is given up."""
    max_parallel: Count = 2
    """Most files in work at the same time, where `track` is given several; cameras and addresses are all, besides."""


class FoundConfig(Section):
    """Which detections count, and where networks run: what tracking stored detections shares with detecting them."""

    device: str = "auto"
    """auto, cpu, cuda, cuda:N or mps."""
    precision: Literal["auto", "fp32", "half"] = "auto"
    """Arithmetic of the networks; auto is half on CUDA devices and fp32 elsewhere."""
    backend: Literal["auto", "torch", "openvino", "onnxruntime"] = "auto"
    """What computes the networks; auto is the fastest that is installed: on the CPU ONNX Runtime, OpenVINO or PyTorch,
    elsewhere PyTorch. Their results differ by rounding."""
    batch_size: Count = 4
    """Frames detected at a time; results do not depend on it."""
    threads: Annotated[int, Field(ge=0)] = 0
    """CPU threads for the networks, 0 for all cores; results do not depend on it."""
    classes: tuple[str, ...] = ()
    """Names of the classes to keep; empty keeps all that the detector knows."""
    score: Fraction01 = 0.5
    """Detections below this score are dropped."""


class DetectorConfig(FoundConfig):
    """The network that finds objects."""

    model: str = "builtin"
    """Detector by name, see `track models`; a file of weights says itself what it is for."""
    weights: str = ""
    """A .safetensors or .ckpt file of our trainer, or `coco` (torchvision's own, downloaded); empty for the built-in
    detector's own."""
    nms_iou: Fraction01 = 0.4
    """Of two boxes of one class that overlap more than this, the lower-scored is dropped."""
    max_detections: Count = 100
    """Most detections in a frame."""
    detect_every: Count = 1
    """Look at every N-th processed frame; in those between, boxes are predicted (observed = 0)."""
    realtime: bool = False
    """Keep the source's own pace: look at as many frames as that allows, and predict the boxes in the others. A file
    then takes as long as it plays, and results depend on the machine. Not with offline."""
    masks: bool = True
    """Mark the pixels of each object too, where the network can (Mask R-CNN): they are drawn, and written to .json."""


class AppearanceConfig(Section):
    """What tells individuals apart, and what tells finer classes than the detector's."""

    embedding_source: Literal["network", "roi"] = "network"
    """network: an embedder looks at the crops. roi: the detector's own features of its boxes, of all its classes,
    without a second network. `neutral_cosine_distance` is then the built-in detector's, unless it is set: for another
    detector measure it, by `track eval embedder SEQUENCE --gap 5,30 --weights DETECTOR`."""
    embedder: str = "builtin"
    """`builtin`, `none` (motion alone), or a .safetensors file of our trainer."""
    classify: str = ""
    """A classifier's file, of `track train classifier`: tracks get a fine class too, by vote over their crops."""
    classify_classes: tuple[str, ...] = ()
    """Classes of the detector that get a fine class; all of them without."""


class TrackerConfig(Section):
    """The association engine. Its defaults were chosen on MOT15 with three detectors, at 7 to 30 frames per second, on
    every frame and on every second and third; configs/ holds the known designs as other values of the same settings.

    Sources: DeepSORT, arXiv 1703.07402; SORT, 1602.00763; ByteTrack, 2110.06864; OC-SORT, 2203.14360; BoT-SORT,
    2206.14651; StrongSORT, 2202.13514; C-BIoU, 2211.14317.
    """

    max_age: Positive = 3.0
    """Seconds without a detection after which a track ends."""
    n_init: Count = 2
    """Detections that confirm a track."""
    tentative_misses: Annotated[int, Field(ge=0)] = 1
    """Frames in a row that a track may miss before it is confirmed (DeepSORT: 0)."""
    max_occlusion: Fraction01 = 0.4
    """A track is not confirmed as long as confirmed ones of its class that are seen cover this share of its box, all
    together: most likely it is a part of them, or two of them in one box. 0 confirms it all the same (DeepSORT)."""
    start_score: Fraction01 = 0.8
    """Detections below this score continue tracks and start none (ByteTrack: 0.7)."""
    high_score: Fraction01 = 0.65
    """Detections below this score may only continue what was seen in the frame before, after all others had their
    choice: the second pass of ByteTrack (there 0.6)."""
    low_iou: Fraction01 = 0.35
    """Least IoU for a match in that second pass (ByteTrack: 0.5)."""
    min_visible: Fraction01 = 0.7
    """A missed track ends when less than this share of its predicted box lies inside the picture: it has left."""
    border_overlap: Fraction01 = 0.7
    """At the picture's edge, what would be a new track is the one that was just missed there if this share of the
    smaller box lies in the larger, and the class is another one or the track is leaving: by a part of it an object is
    easily taken for something else. Its class is what most detections say. 0 starts a new track."""
    duplicate_iou: Fraction01 = 0.0
    """A missed track ends when it overlaps more than this with one of its class that is seen; 0 keeps it (ByteTrack:
    0.85)."""
    max_coast: NonNegative = 0.0
    """Seconds for which a confirmed track that is not detected is still reported, with observed = 0."""
    detection_weight: Fraction01 = 0.25
    """How much of a reported box is the detection; the rest is the filter's estimate."""

    position_noise: Positive = 0.005
    """Process noise of the position for 1/30 s, as a fraction of the box height (DeepSORT: 1/20). Noise grows with the
    real interval, so that it is the same at every frame rate."""
    velocity_noise: Positive = 0.0011
    """Process noise of the velocity for 1/30 s, as a fraction of the box height per 1/30 s (DeepSORT: 1/160)."""
    measurement_noise: Positive = 0.075
    """Standard deviation of a detected box, as a fraction of its height (DeepSORT: 1/20)."""
    confidence_noise: Fraction01 = 0.45
    """How much of the measurement's variance a score of 1 takes away, in proportion to the score (StrongSORT: 1,
    DeepSORT: 0)."""
    adaptive_noise_gate: NonNegative = 9.0
    """Squared deviation, in variances, from which a detection says that the object has turned: the filter then widens
    until that deviation is expected, and follows. 0 never does. Source: the strong tracking filter, Zhou and Frank
    1996, with one fading factor for each axis."""
    re_update: bool = True
    """Drop what the filter did while a track was missed once it is found, and lead it along the straight line between
    both detections (OC-SORT)."""
    camera_motion: Literal["none", "flow", "ecc"] = "none"
    """How the camera's own motion is measured in the pictures and taken out: sparse optical flow (BoT-SORT), or ECC
    (StrongSORT)."""

    association: Literal["likelihood", "iou", "mahalanobis"] = "likelihood"
    """What motion says of a track and a detection. iou: the overlap of predicted and detected box (SORT).
    mahalanobis: the distance in standard deviations (DeepSORT). likelihood: the overlap and, in nats, how little
    the detection was to be expected there, given how much is known of the track; where a missed track may be found
    again, the latter alone decides. Source: Blackman and Popoli 1999, chapter 6."""
    min_iou: Fraction01 = 0.2
    """Least IoU for a match, where the overlap decides (SORT: 0.3)."""
    buffer_scale: NonNegative = 0.1
    """By how much of their size boxes grow on each side before their overlap is taken (C-BIoU: 0.3 and 0.5)."""
    generalized_iou: bool = False
    """Take the generalised IoU, from -1 to 1, brought to 0 to 1, as the overlap's cost. Source: arXiv 1902.09630."""
    score_weight: Fraction01 = 0.0
    """How far an overlap counts less where the detection's score is low (ByteTrack: 1)."""
    direction_weight: NonNegative = 0.0
    """Cost of a detection in the direction opposite to the track's motion so far (OC-SORT: 0.2)."""
    recover_iou: Fraction01 = 0.0
    """Give tracks that are left without a match another chance by their last detected box, from this IoU up; 0 does not
    (OC-SORT: 0.3)."""
    cascade: bool = False
    """Let tracks seen lately choose first, instead of all at once (DeepSORT)."""
    match_across_classes: bool = False
    """Let a track take detections of other classes than its own; its class is then what most of them say."""
    likelihood_weight: NonNegative = 0.3
    """Cost of one nat of unlikelihood, beside an overlap's cost of 0 to 1."""
    max_nll: Positive = 9.2
    """Nats from which a detection cannot be a track's; those of a perfectly known track at its place are 0."""
    absence_penalty: NonNegative = 0.8
    """Nats for each second that a track is missed."""
    height_weight: Fraction01 = 0.5
    """Weight of the height in the likelihood: it jumps where feet are hidden."""
    gating_probability: Annotated[float, Field(gt=0, lt=1)] = 0.95
    """Chi-square mass (4 degrees of freedom) of the gate of association = mahalanobis."""

    appearance_evidence: NonNegative = 20.0
    """Nats for a cosine distance of 1 between a track and a detection, where association = likelihood."""
    neutral_cosine_distance: Annotated[float, Field(ge=0, le=2)] = 0.0
    """Cosine distance that speaks neither for nor against the same individual; 0: as the embedder's file says, which
    its training measured, or 0.35 where it does not say."""
    max_cosine_distance: Annotated[float, Field(gt=0, le=2)] = 2.0
    """Largest cosine distance for a match; 2 is no limit (DeepSORT: 0.2)."""
    appearance_weight: Fraction01 = 1.0
    """Weight of appearance against motion where association = mahalanobis (DeepSORT: 1, StrongSORT: 0.98)."""
    appearance_momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """What a track looks like is a moving average with this momentum (StrongSORT: 0.9); 0 keeps a gallery instead."""
    gallery_size: Count = 100
    """Embeddings in the gallery of a track, the latest ones, of which the nearest counts (DeepSORT: 100)."""

    rescore: Fraction01 = 0.0
    """Look at the predicted boxes of missed tracks again with the detector's own RoI head, and take those as found
    that score at least this; 0 does not look. Source: Tracktor, arXiv 1903.05625."""
    offline: bool = False
    """Look at the whole file before any result is written: link tracklets, smooth, fill gaps. Not for live sources."""
    max_gap: NonNegative = 1.0
    """Longest gap in a track that the second look fills, seconds."""
    relink_gap: NonNegative = 1.0
    """Seconds missed from which the second look decides anew whether it is the same track."""
    link_gap: NonNegative = 3.0
    """Longest gap over which the second look links tracklets, seconds."""
    min_detections: Count = 5
    """Detections that a track needs to be kept by the second look."""

    @property
    def neutral_distance(self) -> float:
        """`neutral_cosine_distance`, where that is 0 the one of the built-in embedder."""
        return self.neutral_cosine_distance or 0.35

    def with_neutral_distance(self, embedder_distance: float) -> "TrackerConfig":
        """The same with an embedder's own neutral distance, unless one is set or the embedder's is 0, not measured."""
        if self.neutral_cosine_distance or not embedder_distance:
            return self
        return self.model_copy(update={"neutral_cosine_distance": embedder_distance})


class OutputConfig(Section):
    """What is written and drawn."""

    output: tuple[str, ...] = ()
    """Files to write, by suffix: .mp4 .mkv .mov video, .csv, .txt MOTChallenge, .json COCO. {name} stands
    for the source's name. None: all of the default folder tracked/NAME/."""
    detections: str = ""
    """CSV file in which to store the detections too, as they are before tracking; `track retrack` tracks them again."""
    overwrite: bool = False
    """Replace results that exist; without it the default folder gets a new number and a named file is refused."""
    trail: NonNegative = 2.0
    """Length of the drawn trail, seconds."""
    crf: Annotated[int, Field(ge=0, le=51)] = 23
    """x264 quality: lower is better and larger."""
    preset: Literal["ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow"] = "veryfast"
    """x264 speed against size."""
    show: bool = False
    """Also show the annotated video in a window, where there is a screen; q closes it and ends the run."""


class Config(Section):
    """All settings of a run."""

    source: SourceConfig = SourceConfig()
    detector: DetectorConfig = DetectorConfig()
    appearance: AppearanceConfig = AppearanceConfig()
    tracker: TrackerConfig = TrackerConfig()
    output: OutputConfig = OutputConfig()

    def naming(self, name: str) -> "Config":
        """These settings with `name` in place of {name} in the names of outputs."""
        files = tuple(file.replace("{name}", name) for file in self.output.output)
        detections = self.output.detections.replace("{name}", name)
        output = self.output.model_copy(update={"output": files, "detections": detections})
        return self.model_copy(update={"output": output})


def load_config(path: Path, overrides: Mapping[str, Mapping[str, Any]] | None = None) -> Config:
    """The defaults, changed by a YAML file, changed by `overrides` (section -> key -> value).

    Raises:
        InputError: As `read_yaml` and `validated`.
    """
    return merged(read_yaml(path), overrides or {}, where=str(path))


def merged(base: Mapping[str, Any], overrides: Mapping[str, Mapping[str, Any]], where: str) -> Config:
    """A config of `base` where `overrides` does not say otherwise."""
    values = dict(base)
    for section, changes in overrides.items():
        old = values.get(section) or {}
        values[section] = {**old, **changes} if isinstance(old, dict) else old
    return validated(Config, values, where)
