"""Fine classes: what a classifier says of crops, the vote over each track, and where it is written."""

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
from stub_networks import StubDetector, install, moving, moving_clip
from tracker import Config, FineMaskedTracks, FineTracks, MaskedDetections, Tracks
from tracker.cli.app import main
from tracker.config import EmbedderNetwork, SourceConfig
from tracker.models.model_file import ModelInfo, save_model
from tracker.models.reid import BUILTIN, build_embedder, load_classifier
from tracker.output import Annotator
from tracker.pipeline.class_voting import ClassVoter
from tracker.structures.types import Frame
from tracker.video import open_source

Result = tuple[int, str]


def tracks_of(ids: Sequence[int], found: Sequence[int], labels: Sequence[int] = ()) -> Tracks:
    """Tracks whose detections are those rows of the frame's."""
    m = len(ids)
    return Tracks(
        np.array(ids, np.int64),
        np.tile(np.array([10, 20, 60, 90], np.float32), (m, 1)),
        np.full(m, 0.9, np.float32),
        np.array(labels or [0] * m, np.int64),
        np.zeros((m, 2), np.float32),
        np.ones(m, np.float32),
        np.array(found) >= 0,
        np.array(found, np.int64),
    )


# The vote


def test_many_crops_outvote_one_that_is_sure_and_wrong() -> None:
    """By hand: the means are (0.98 + 3 x 0.3) / 4 = 0.47 and 0.53; a product of probabilities would say the first."""
    ballot = ClassVoter(("taxi", "van"), [0])
    for first in (0.98, 0.3, 0.3, 0.3):
        ballot.count(tracks_of([7], [1]), np.array([[0.5, 0.5], [first, 1 - first]]))
    named = ballot.named(tracks_of([7], [-1]))  # also where the box is predicted
    assert isinstance(named, FineTracks)
    assert named.fine_classes.tolist() == ["van"]
    assert named.fine_scores == pytest.approx([0.53], abs=1e-6)


def test_tracks_without_an_opinion_have_no_fine_class() -> None:
    ballot = ClassVoter(("taxi", "van"), [2])
    class_probs = np.array([[0.1, 0.9], [0, 0], [0.8, 0.2]])
    ballot.count(tracks_of([1, 2, 3], [0, 1, 2]), class_probs)
    named = ballot.named(tracks_of([1, 2, 3, 4], [0, 1, 2, -1], labels=[2, 2, 0, 2]))
    assert isinstance(named, FineTracks)
    assert named.fine_classes.tolist() == ["van", "", "", ""]  # nobody asked about 2, of class 0, or ever saw 4
    assert named.fine_scores == pytest.approx([0.9, 0, 0, 0])


def test_the_votes_of_ended_tracks_are_forgotten() -> None:
    ballot = ClassVoter(("taxi", "van"), [0])
    for number in range(1, 100):
        ballot.count(tracks_of([number], [0]), np.array([[0.4, 0.6]]))
        ballot.keep([number, number + 1])
    assert ballot.named(tracks_of([98, 99], [-1, -1])).fine_classes.tolist() == ["", "van"]  # type: ignore[attr-defined]


# Whole runs


class Colours:
    """A classifier that goes by the blueness of a crop; it looks away in the first frames, and doubts white."""

    device = "cpu"
    backend = "torch"

    def __init__(self) -> None:
        self.info = SimpleNamespace(categories=("blue", "grey", "white"))
        self.crops = 0

    def __enter__(self) -> "Colours":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def classify(self, images: Sequence[Any], boxes: Sequence[Any]) -> list[Any]:
        return [np.array([self._judge(i, b) for b in rows.astype(int).tolist()], np.float32).reshape(-1, 3)
                for i, rows in zip(images, boxes, strict=True)]  # fmt: skip

    def _judge(self, image: Any, box: list[int]) -> tuple[float, float, float]:
        x1, y1, x2, y2 = box
        self.crops += 1
        red, _, blue = image[y1:y2, x1:x2].reshape(-1, 3).mean(0)
        if blue - red > 20:
            return 0.9, 0.1, 0.0
        # Of the white one, which starts at the left and goes right: at first grey, for longer white.
        return (0.0, 0.7, 0.3) if x1 < 30 else (0.0, 0.2, 0.8)


@pytest.fixture
def judge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Colours:
    monkeypatch.chdir(tmp_path)
    for name in ("load_detector", "load_embedder", "load_classifier"):
        monkeypatch.setattr(tracker.pipeline.networks, name, getattr(tracker.pipeline.networks, name))
    install(tracker.pipeline.networks)
    judge = Colours()
    monkeypatch.setattr(tracker.pipeline.networks, "load_classifier", lambda *_: judge)
    moving_clip(Path("clip.mp4"))
    return judge


def settings(*outputs: str, of: tuple[str, ...] = (), batch_size: int = 4, **follow: Any) -> Config:
    return Config.model_validate(
        {
            "detector": {"batch_size": batch_size},
            "appearance": {"classify": "colours.safetensors", "classify_classes": of},
            "output": {"output": outputs, "overwrite": True},
            "tracker": follow,
        }
    )


def rows_of(path: str) -> list[dict[str, str]]:
    with Path(path).open(newline="") as file:
        return list(csv.DictReader(file))


def test_online_the_vote_grows_and_offline_it_is_that_of_the_whole_track(judge: Colours) -> None:
    tracker.track_to_files("clip.mp4", settings("online.csv"))
    tracker.track_to_files("clip.mp4", settings("offline.csv", offline=True))
    online, offline = rows_of("online.csv"), rows_of("offline.csv")
    first = [row["fine_class"] for row in online if row["class"] == "person"]
    assert first[0] == "grey" and first[-1] == "white" and sorted(first) == first
    assert {(row["class"], row["fine_class"]) for row in offline} == {("person", "white"), ("car", "blue")}
    assert {row["fine_score"] for row in offline if row["class"] == "car"} == {"0.9000"}
    ((score, _),) = {(row["fine_score"], row["fine_class"]) for row in offline if row["class"] == "person"}
    assert 0.5 < float(score) < 0.8


def test_the_table_the_json_and_the_record(judge: Colours) -> None:
    Path("colours.safetensors").write_bytes(b"weights")
    tracker.track_to_files("clip.mp4", settings("out.csv", "out.json"))
    with Path("out.csv").open() as file:
        assert next(file).endswith(",observed,fine_class,fine_score\n")
    annotations = json.loads(Path("out.json").read_text())["annotations"]
    assert [(row["fine_class"], f"{row['fine_score']:.4f}") for row in annotations] == [
        (row["fine_class"], row["fine_score"]) for row in rows_of("out.csv")
    ]
    with tracker.Pipeline(settings()) as pipeline:
        pipeline.detector.device = torch.device("cpu")
        assert pipeline.describe()["weights"]["classifier"]["file"] == "colours.safetensors"


def test_only_the_classes_that_were_named(judge: Colours) -> None:
    tracker.track_to_files("clip.mp4", settings("out.csv", "out.json", of=("car",)))
    assert {(row["class"], row["fine_class"], bool(row["fine_score"])) for row in rows_of("out.csv")} == {
        ("car", "blue", True),
        ("person", "", False),
    }
    assert judge.crops == 30  # one car in each frame; no person was looked at
    annotations = json.loads(Path("out.json").read_text())["annotations"]
    assert {(row["category_id"], "fine_class" in row) for row in annotations} == {(1, False), (2, True)}


def test_neither_batch_size_nor_a_classifier_changes_the_rest(judge: Colours) -> None:
    tracker.track_to_files("clip.mp4", settings("one.csv", batch_size=1))
    tracker.track_to_files("clip.mp4", settings("many.csv", batch_size=7))
    assert Path("one.csv").read_bytes() == Path("many.csv").read_bytes()
    plain = Config.model_validate({"output": {"output": ("plain.csv",)}})
    tracker.track_to_files("clip.mp4", plain)
    cut = [line.rsplit(",", 2)[0] for line in Path("one.csv").read_text().splitlines()]
    assert Path("plain.csv").read_text().splitlines() == cut
    assert all(type(tracks) is Tracks for _, tracks in tracker.track("clip.mp4", Config()))


def test_masks_go_with_it(judge: Colours, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = StubDetector._detect

    def masked(self: StubDetector, image: Any) -> MaskedDetections:
        found = seen(self, image)
        return MaskedDetections(found.boxes, found.scores, found.labels, np.full((len(found), 4, 4), 255, np.uint8))

    monkeypatch.setattr(StubDetector, "_detect", masked)
    for offline in (False, True):
        given = [tracks for _, tracks in tracker.track("clip.mp4", settings(offline=offline))]
        assert all(isinstance(tracks, FineMaskedTracks) for tracks in given)
        last = given[-1][given[-1].labels == 1]
        assert isinstance(last, FineMaskedTracks) and last.masks.all() and last.fine_classes.tolist() == ["blue"]
    tracker.track_to_files("clip.mp4", settings("out.json"))
    annotations = json.loads(Path("out.json").read_text())["annotations"]
    assert all({"segmentation", "fine_class"} <= row.keys() for row in annotations)


def test_the_drawn_label_is_longer_by_the_fine_class() -> None:
    frame, tracks = Frame(0, 0.0, 0, np.zeros((240, 320, 3), np.uint8)), tracks_of([1], [0])
    tracks.boxes[:] = (20, 100, 80, 200)

    def plate(shown: Tracks) -> NDArray[np.int64]:
        drawn = Annotator(["car"], 320, 240, 0).draw(frame, shown)
        return np.flatnonzero(drawn[:99].any((0, 2)))

    named = FineTracks.judged(tracks, np.array(["taxi"]), np.ones(1, np.float32))
    unknown = FineTracks.judged(tracks, np.array([""]), np.zeros(1, np.float32))
    assert np.ptp(plate(named)) > 1.3 * np.ptp(plate(tracks))
    np.testing.assert_array_equal(plate(unknown), plate(tracks))


# A real classifier


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A clip, its detections, and a classifier of noise."""
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(3)
    network = EmbedderNetwork(architecture="lenet", dimension=0, neck=False)
    state = build_embedder(network, (32, 32), 3).state_dict()
    state["judge.weight"] *= 20  # sure of itself
    info = ModelInfo(
        task="classification", architecture="lenet", categories=("oak", "elm", "ash"), size=(32, 32), license="",
        provenance="", network=network.model_dump(mode="json"),
    )  # fmt: skip
    save_model(Path("trees.safetensors"), {key: value.numpy() for key, value in state.items()}, info)
    moving_clip(Path("clip.mp4"), 12)
    lines = ["frame,time_s,class,score,x1,y1,x2,y2"]
    for n in range(12):
        for box, score, label in zip(*(getattr(StubDetector()._detect(moving(n, 160, 120)), name).tolist()
                                       for name in ("boxes", "scores", "labels")), strict=True):  # fmt: skip
            lines.append(",".join(map(str, (n, n / 10, ("person", "car")[label], score, *box))))
    Path("found.csv").write_text("\n".join(lines) + "\n")
    return tmp_path


@pytest.fixture
def track(workplace: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., Result]:
    """Runs the command in this process: exit code and stderr."""

    def run(*arguments: object) -> Result:
        with pytest.raises(SystemExit) as end:
            main([str(argument) for argument in arguments])
        return int(end.value.code or 0), capsys.readouterr().err

    return run


def test_stored_detections_are_judged_in_their_video(track: Callable[..., Result]) -> None:
    """The last vote is the mean of what the network says of the crops, each judged on its own."""
    how = ("--classify", "trees.safetensors", "--embedder", "none", "--device", "cpu", "--quiet")
    code, errors = track("retrack", "found.csv", "--video", "clip.mp4", *how, "--output", "out.csv")
    assert (code, errors) == (0, "")
    detections = tracker.read_detections("found.csv")
    sums: dict[str, Any] = {}
    with (
        load_classifier(Path("trees.safetensors"), torch.device("cpu")) as classifier,
        open_source("clip.mp4", SourceConfig()) as source,
    ):
        for frame in source:
            found = detections.at(frame.index)
            (judged,) = classifier.classify(classifier.upload([frame.image]), [found.boxes])
            for label, row in zip(found.labels.tolist(), judged, strict=True):
                sums.setdefault(detections.categories[label], []).append(row)
    rows = rows_of("out.csv")
    for name, of_class in sums.items():
        mean = np.mean(of_class[1:], 0)  # the first detection is before the track has an id
        last = [row for row in rows if row["class"] == name][-1]
        assert last["fine_class"] == ("oak", "elm", "ash")[mean.argmax()]
        assert float(last["fine_score"]) == pytest.approx(mean.max(), abs=2e-4)


def test_bad_input_gets_one_sentence(track: Callable[..., Result]) -> None:
    video = ("retrack", "found.csv", "--video", "clip.mp4", "--device", "cpu")
    for arguments, sentence in (
        ((*video, "--classify", "no.safetensors"), "there is no model file no.safetensors"),
        ((*video, "--classify", BUILTIN), "is a model for embedding, not for classification"),
        ((*video, "--classify", "trees.safetensors", "--classify-classes", "car,persn"), "unknown class 'persn'"),
        (("retrack", "found.csv", "--classify", "trees.safetensors"), "--classify looks at the pictures: give --video"),
    ):
        code, errors = track(*arguments, "--embedder", "none")
        assert code == 2 and sentence in errors and errors.count("\n") == 1, errors
    assert not Path("tracked").exists()


def test_an_embedder_cannot_be_a_classifier(track: Callable[..., Result]) -> None:
    code, errors = track("retrack", "found.csv", "--video", "clip.mp4", "--embedder", "trees.safetensors")
    assert code == 2 and "is a model for classification, not for embedding" in errors
