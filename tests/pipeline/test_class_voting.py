"""Fine classes: the classification of crops, the vote over each track, and the output."""

import csv
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import tracker
import tracker.pipeline.networks
from stub_networks import StubDetector, install, moving_clip, moving_rectangles
from tracker import Config, Detections, Tracks
from tracker.cli.app import main
from tracker.config import EmbedderNetwork, ResultConfig, SourceConfig
from tracker.models.model_file import ModelInfo, save_model
from tracker.models.reid import BUILTIN, build_embedder, load_classifier
from tracker.output import Annotator
from tracker.pipeline.class_voting import ClassVoter
from tracker.structures.types import Frame
from tracker.video import open_source

Result = tuple[int, str]


def make_tracks(ids: Sequence[int], detection_index: Sequence[int], labels: Sequence[int] = ()) -> Tracks:
    """Returns tracks that were matched to these rows of the frame's detections."""
    m = len(ids)
    return Tracks(
        np.array(ids, np.int64),
        np.tile(np.array([10, 20, 60, 90], np.float32), (m, 1)),
        np.full(m, 0.9, np.float32),
        np.array(labels or [0] * m, np.int64),
        np.zeros((m, 2), np.float32),
        np.ones(m, np.float32),
        np.array(detection_index) >= 0,
        np.array(detection_index, np.int64),
    )


# The vote


def test_many_crops_outvote_a_confident_wrong_one() -> None:
    """The means are (0.98 + 3 x 0.3) / 4 = 0.47 and 0.53; the product of the probabilities would favor the first."""
    voter = ClassVoter(("taxi", "van"), [0])
    for first in (0.98, 0.3, 0.3, 0.3):
        voter.count(make_tracks([7], [1]), np.array([[0.5, 0.5], [first, 1 - first]]))
    tracks = voter.with_classes(make_tracks([7], [-1]))  # also where the box is predicted
    assert tracks.data["fine_classes"].tolist() == ["van"]
    assert tracks.data["fine_scores"] == pytest.approx([0.53], abs=1e-6)


def test_tracks_without_classified_crops_have_no_fine_class() -> None:
    voter = ClassVoter(("taxi", "van"), [2])
    class_probs = np.array([[0.1, 0.9], [0, 0], [0.8, 0.2]])
    voter.count(make_tracks([1, 2, 3], [0, 1, 2]), class_probs)
    tracks = voter.with_classes(make_tracks([1, 2, 3, 4], [0, 1, 2, -1], labels=[2, 2, 0, 2]))
    # The crop of 2 has no probabilities, 3 is of another class, and 4 has no detection.
    assert tracks.data["fine_classes"].tolist() == ["van", "", "", ""]
    assert tracks.data["fine_scores"] == pytest.approx([0.9, 0, 0, 0])


def test_the_votes_of_ended_tracks_are_deleted() -> None:
    voter = ClassVoter(("taxi", "van"), [0])
    for number in range(1, 100):
        voter.count(make_tracks([number], [0]), np.array([[0.4, 0.6]]))
        voter.keep([number, number + 1])
    assert voter.with_classes(make_tracks([98, 99], [-1, -1])).data["fine_classes"].tolist() == ["", "van"]


# Whole runs


class ColorClassifier:
    """A classifier of the color of a crop; it is less certain of white, which it calls gray in the first frames."""

    device = "cpu"
    backend = "torch"

    def __init__(self) -> None:
        self.info = SimpleNamespace(categories=("blue", "gray", "white"))
        self.crops = 0

    def __enter__(self) -> "ColorClassifier":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def classify(self, images: Sequence[Any], boxes: Sequence[Any]) -> list[Any]:
        return [np.array([self._classify(i, b) for b in rows.astype(int).tolist()], np.float32).reshape(-1, 3)
                for i, rows in zip(images, boxes, strict=True)]  # fmt: skip

    def _classify(self, image: Any, box: list[int]) -> tuple[float, float, float]:
        x1, y1, x2, y2 = box
        self.crops += 1
        red, _, blue = image[y1:y2, x1:x2].reshape(-1, 3).mean(0)
        if blue - red > 20:
            return 0.9, 0.1, 0.0
        # The white one starts at the left and moves right: it is gray at first, and white for longer.
        return (0.0, 0.7, 0.3) if x1 < 30 else (0.0, 0.2, 0.8)


@pytest.fixture
def classifier(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ColorClassifier:
    monkeypatch.chdir(tmp_path)
    for name in ("load_detector", "load_embedder", "load_classifier"):
        monkeypatch.setattr(tracker.pipeline.networks, name, getattr(tracker.pipeline.networks, name))
    install(tracker.pipeline.networks)
    classifier = ColorClassifier()
    monkeypatch.setattr(tracker.pipeline.networks, "load_classifier", lambda *_: classifier)
    moving_clip(Path("clip.mp4"))
    return classifier


def settings(*outputs: str, classes: tuple[str, ...] = (), batch_size: int = 4, **tracking: Any) -> Config:
    return Config.model_validate(
        {
            "detector": {"batch_size": batch_size},
            "appearance": {"classify": "colors.safetensors", "classify_classes": classes},
            "output": {"output": outputs, "overwrite": True},
            "tracker": tracking,
        }
    )


def read_rows(path: str) -> list[dict[str, str]]:
    with Path(path).open(newline="") as file:
        return list(csv.DictReader(file))


def test_online_votes_are_those_so_far_and_offline_votes_those_of_the_whole_track(classifier: ColorClassifier) -> None:
    tracker.track_to_files("clip.mp4", settings("online.csv"))
    tracker.track_to_files("clip.mp4", settings("offline.csv", offline=True))
    online, offline = read_rows("online.csv"), read_rows("offline.csv")
    person = [row["fine_class"] for row in online if row["class"] == "person"]
    assert person[0] == "gray" and person[-1] == "white" and sorted(person) == person
    assert {(row["class"], row["fine_class"]) for row in offline} == {("person", "white"), ("car", "blue")}
    assert {row["fine_score"] for row in offline if row["class"] == "car"} == {"0.9000"}
    ((score, _),) = {(row["fine_score"], row["fine_class"]) for row in offline if row["class"] == "person"}
    assert 0.5 < float(score) < 0.8


def test_fine_classes_in_csv_json_and_record(classifier: ColorClassifier) -> None:
    Path("colors.safetensors").write_bytes(b"weights")
    tracker.track_to_files("clip.mp4", settings("out.csv", "out.json"))
    with Path("out.csv").open() as file:
        assert next(file).endswith(",observed,fine_class,fine_score\n")
    annotations = json.loads(Path("out.json").read_text())["annotations"]
    assert [(row["fine_class"], f"{row['fine_score']:.4f}") for row in annotations] == [
        (row["fine_class"], row["fine_score"]) for row in read_rows("out.csv")
    ]
    with tracker.NetworkAnalyzer(settings()) as analyzer:
        analyzer.detector.device = torch.device("cpu")  # type: ignore[misc]
        assert analyzer.describe()["weights"]["classifier"]["file"] == "colors.safetensors"


def test_only_the_chosen_classes_are_classified(classifier: ColorClassifier) -> None:
    tracker.track_to_files("clip.mp4", settings("out.csv", "out.json", classes=("car",)))
    assert {(row["class"], row["fine_class"], bool(row["fine_score"])) for row in read_rows("out.csv")} == {
        ("car", "blue", True),
        ("person", "", False),
    }
    assert classifier.crops == 30  # one car in each frame, and no person
    annotations = json.loads(Path("out.json").read_text())["annotations"]
    assert {(row["category_id"], "fine_class" in row) for row in annotations} == {(1, False), (2, True)}


def test_neither_batch_size_nor_classifier_changes_other_columns(classifier: ColorClassifier) -> None:
    tracker.track_to_files("clip.mp4", settings("one.csv", batch_size=1))
    tracker.track_to_files("clip.mp4", settings("many.csv", batch_size=7))
    assert Path("one.csv").read_bytes() == Path("many.csv").read_bytes()
    without_classifier = Config.model_validate({"output": {"output": ("without.csv",)}})
    tracker.track_to_files("clip.mp4", without_classifier)
    other_columns = [line.rsplit(",", 2)[0] for line in Path("one.csv").read_text().splitlines()]
    assert Path("without.csv").read_text().splitlines() == other_columns
    assert not any(tracks.data for _, tracks in tracker.track("clip.mp4", Config()))


def test_fine_classes_together_with_masks(classifier: ColorClassifier, monkeypatch: pytest.MonkeyPatch) -> None:
    detect = StubDetector._detect

    def detect_with_masks(self: StubDetector, image: Any) -> Detections:
        detections = detect(self, image)
        return detections.with_data(masks=np.full((len(detections), 4, 4), 255, np.uint8))

    monkeypatch.setattr(StubDetector, "_detect", detect_with_masks)
    for offline in (False, True):
        frames = [tracks for _, tracks in tracker.track("clip.mp4", settings(offline=offline))]
        columns = {"masks", "mask_boxes", "fine_classes", "fine_scores"}
        assert all(tracks.data.keys() == columns for tracks in frames)
        last = frames[-1][frames[-1].labels == 1]
        assert last.data["masks"].all() and last.data["fine_classes"].tolist() == ["blue"]
    tracker.track_to_files("clip.mp4", settings("out.json"))
    annotations = json.loads(Path("out.json").read_text())["annotations"]
    assert all({"segmentation", "fine_class"} <= row.keys() for row in annotations)


def test_the_fine_class_is_drawn_in_the_label() -> None:
    frame, tracks = Frame(0, 0.0, 0, np.zeros((240, 320, 3), np.uint8)), make_tracks([1], [0])
    tracks.boxes[:] = (20, 100, 80, 200)

    def label_columns(tracks: Tracks) -> NDArray[np.int64]:
        drawn = Annotator(["car"], 320, 240, ResultConfig(trail=0)).annotate(frame, tracks)
        return np.flatnonzero(drawn[:99].any((0, 2)))

    known = tracks.with_data(fine_classes=np.array(["taxi"]), fine_scores=np.ones(1, np.float32))
    unknown = tracks.with_data(fine_classes=np.array([""]), fine_scores=np.zeros(1, np.float32))
    assert np.ptp(label_columns(known)) > 1.3 * np.ptp(label_columns(tracks))
    np.testing.assert_array_equal(label_columns(unknown), label_columns(tracks))


# A real classifier


@pytest.fixture
def working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Makes a clip, its detections, and a classifier with random weights in the current folder."""
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(3)
    network = EmbedderNetwork(architecture="lenet", dimension=0, neck=False)
    state = build_embedder(network, (32, 32), 3).state_dict()
    state["judge.weight"] *= 20  # for high probabilities
    info = ModelInfo(
        task="classification", architecture="lenet", categories=("oak", "elm", "ash"), size=(32, 32), license="",
        provenance="", network=network.model_dump(mode="json"),
    )  # fmt: skip
    save_model(Path("trees.safetensors"), {key: value.numpy() for key, value in state.items()}, info)
    moving_clip(Path("clip.mp4"), 12)
    lines = ["frame,time_s,class,score,x1,y1,x2,y2"]
    for n in range(12):
        for box, score, label in zip(*(getattr(StubDetector()._detect(moving_rectangles(n, 160, 120)), name).tolist()
                                       for name in ("boxes", "scores", "labels")), strict=True):  # fmt: skip
            lines.append(",".join(map(str, (n, n / 10, ("person", "car")[label], score, *box))))
    Path("detections.csv").write_text("\n".join(lines) + "\n")
    return tmp_path


@pytest.fixture
def track(working_folder: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., Result]:
    """Runs the command in this process; returns exit code and stderr."""

    def run(*arguments: object) -> Result:
        with pytest.raises(SystemExit) as end:
            main([str(argument) for argument in arguments])
        return int(end.value.code or 0), capsys.readouterr().err

    return run


def test_stored_detections_are_classified_in_their_video(track: Callable[..., Result]) -> None:
    """The last vote is the mean of the probabilities of all crops, each classified on its own."""
    flags = ("--classify", "trees.safetensors", "--embedder", "none", "--device", "cpu", "--quiet")
    code, errors = track("retrack", "detections.csv", "--video", "clip.mp4", *flags, "--output", "out.csv")
    assert (code, errors) == (0, "")
    detections = tracker.read_detections("detections.csv")
    probabilities: dict[str, Any] = {}
    with (
        load_classifier(Path("trees.safetensors"), torch.device("cpu")) as classifier,
        open_source("clip.mp4", SourceConfig()) as source,
    ):
        for frame in source:
            in_frame = detections.at(frame.index)
            (class_probs,) = classifier.classify(classifier.upload([frame.image]), [in_frame.boxes])
            for label, row in zip(in_frame.labels.tolist(), class_probs, strict=True):
                probabilities.setdefault(detections.categories[label], []).append(row)
    rows = read_rows("out.csv")
    for name, crops in probabilities.items():
        mean = np.mean(crops[1:], 0)  # the track has no id yet at its first detection
        last = [row for row in rows if row["class"] == name][-1]
        assert last["fine_class"] == ("oak", "elm", "ash")[mean.argmax()]
        assert float(last["fine_score"]) == pytest.approx(mean.max(), abs=2e-4)


def test_bad_input_gets_one_sentence(track: Callable[..., Result]) -> None:
    video = ("retrack", "detections.csv", "--video", "clip.mp4", "--device", "cpu")
    for arguments, sentence in (
        ((*video, "--classify", "no.safetensors"), "there is no model file no.safetensors"),
        ((*video, "--classify", BUILTIN), "is a model for embedding, not for classification"),
        ((*video, "--classify", "trees.safetensors", "--classify-classes", "car,persn"), "unknown class 'persn'"),
        (("retrack", "detections.csv", "--classify", "trees.safetensors"), "--classify needs images: give --video"),
    ):
        code, errors = track(*arguments, "--embedder", "none")
        assert code == 2 and sentence in errors and errors.count("\n") == 1, errors
    assert not Path("tracked").exists()


def test_an_embedder_cannot_be_a_classifier(track: Callable[..., Result]) -> None:
    code, errors = track("retrack", "detections.csv", "--video", "clip.mp4", "--embedder", "trees.safetensors")
    assert code == 2 and "is a model for classification, not for embedding" in errors
