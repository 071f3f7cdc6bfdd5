"""Stored detections: the formats that are read, the errors, and that tracking them gives the same tracks."""

import csv
import json
import signal
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

import tracker
import tracker.models.reid
import tracker.pipeline.networks
from paths import PETS
from stub_networks import SIZE, StubEmbedder, moving_clip, moving_rectangles
from tracker import Config, Detections, InputError, read_detections, retrack, retrack_to_files, track_to_files
from tracker.cli.app import main
from tracker.output import DetectionWriter, VideoInfo
from tracker.structures.types import Frame
from video_clips import Image, write_clip

needs_pets = pytest.mark.skipif(not PETS.exists(), reason="the real sequence PETS09-S2L1 is not in the repository")

VARIABLE = [0, 1, 5, 6, 7, 12, 13, 14, 22, 23, 25, 30, 31, 32, 33, 40, 41, 42, 43, 59]
SEQUENCE = "[Sequence]\nname=Street\nframeRate=29.97\nseqLength=40\nimWidth=160\nimHeight=120\n"


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture(name="stubbed")
def stub_networks(stubbed: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Replaces the networks of runs and of stored detections."""
    monkeypatch.setattr(tracker.models.reid, "load_embedder", lambda *_: StubEmbedder())


def config(*outputs: str, **sections: dict[str, Any]) -> Config:
    output = {"output": outputs, **sections.pop("output", {})}
    return Config.model_validate({"output": output, **sections})


def write_text(name: str, text: str) -> Path:
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


HEADER = "frame,time_s,class,score,x1,y1,x2,y2\n"


def mot_rows(frames: int = 30, first: int = 1) -> list[str]:
    """Returns rows of a det.txt: two persons pass each other; one is missed in frames 11 to 13, and both in 20."""
    rows = []
    for n in range(first, first + frames):
        if n != 20:
            rows.append(f"{n},-1,{10 + 3 * n}.25,20,20,50,0.98,-1,-1,-1")
        if n not in (11, 12, 13, 20):
            rows.append(f"{n},-1,{120 - 2 * n},24.5,22,52.125,0.97,-1,-1,-1")
    return rows


def retrack_all(*arguments: Any) -> list[tuple[Any, ...]]:
    return [
        (frame.index, frame.time, tracks.ids.tolist(), tracks.boxes.tolist()) for frame, tracks in retrack(*arguments)
    ]


# Reading


def test_a_motchallenge_file() -> None:
    write_text("Street/seqinfo.ini", SEQUENCE)
    rows = ["7,-1,10.5,20,30,40,0.75,-1,-1,-1", "3,4,1,2,3,4,1", "7,-1,0,0,5,5,0.5,-1,-1,-1", "", "9,2,1,1,0,9,1,-1"]
    stored = read_detections(write_text("Street/det/det.txt", "\n".join(rows)))
    assert (stored.name, stored.categories, stored.width, stored.height) == ("Street", ("person",), 160, 120)
    assert list(stored.frame_times()) == [(n, float(n / Fraction("29.97"))) for n in range(40)]
    assert stored.at(6).boxes.tolist() == [[9.5, 19, 39.5, 59], [-1, -1, 4, 4]]  # pixels count from 1 in the file
    assert stored.at(6).scores.tolist() == [0.75, 0.5] and stored.at(2).boxes.tolist() == [[0, 1, 3, 5]]
    assert {n for n in range(45) if len(stored.at(n))} == {2, 6}  # the box of frame 9 has no area


def test_without_seqinfo_the_frame_rate_is_that_of_the_call() -> None:
    path = write_text("det.txt", "\n".join(mot_rows(5, first=3)))
    assert list(read_detections(path, fps=12.5).frame_times()) == [(n, n * 0.08) for n in range(2, 7)]
    assert read_detections(path).name == "det"


def test_the_ground_truth_of_mot16_has_classes() -> None:
    rows = ["1,1,10,10,20,20,1,1,0.9", "1,2,50,10,20,20,1,3,1", "2,2,50,10,20,20,0,3,0.5", "2,9,5,5,9,9,1,12,0"]
    stored = read_detections(write_text("gt.txt", "\n".join(rows)))
    names = [[stored.categories[label] for label in stored.at(n).labels] for n in (0, 1)]
    assert names == [["person", "car"], ["reflection"]]
    # If any row has an unknown class or a tenth column, the eighth column of no row is a class.
    for other in ("3,1,10,10,20,20,1,-1,1", "3,1,10,10,20,20,1,1,1,1"):
        stored = read_detections(write_text("gt.txt", "\n".join([*rows, other])))
        assert stored.categories == ("person",) and len(stored.at(1)) == 2


def test_a_table_of_tracks() -> None:
    head = "frame,time_s,track_id,class,score,x1,y1,x2,y2,observed\n"
    rows = ["4,0.400000,1,dog,0.9,1,2,11,22,1", "4,0.400000,2,cat,0.8,5,5,9,9,0", "8,1.000000,2,cat,0.7,5,5,9,9,1"]
    stored = read_detections(write_text("tracks.csv", head + "\n".join(rows)))
    assert stored.categories == ("cat", "dog")
    # The frame step is taken to be 4, as of a run with --every 4; a row of frame 10 makes it 2.
    assert list(stored.frame_times()) == [(4, 0.4), (8, 1.0)]
    assert stored.at(4).boxes.tolist() == [[1, 2, 11, 22]] and stored.at(4).labels.tolist() == [1]
    rows += ["10,1.100000,2,cat,0.7,5,5,9,9,1"]
    stored = read_detections(write_text("tracks.csv", head + "\n".join(rows)))
    assert [n for n, _ in stored.frame_times()] == [4, 6, 8, 10] and len(stored.at(6)) == 0
    assert dict(stored.frame_times())[6] == pytest.approx(0.7)


def test_coco_results() -> None:
    items = [
        {"image_id": 3, "category_id": 7, "bbox": [1, 2, 3, 4], "score": 0.5},
        {"image_id": 1, "category_id": 2, "bbox": [5.5, 6, 7, 8], "score": 0.25},
    ]
    stored = read_detections(write_text("results.json", json.dumps(items)), fps=10)
    assert stored.categories == ("category 2", "category 7")
    assert list(stored.frame_times()) == [(0, 0.0), (1, 0.1), (2, 0.2)]
    assert stored.at(0).boxes.tolist() == [[5.5, 6, 12.5, 14]] and stored.at(2).labels.tolist() == [1]
    items[1]["image_id"] = 0  # then ids count from 0
    stored = read_detections(write_text("results.json", json.dumps(items)), fps=10)
    assert [n for n, _ in stored.frame_times()] == [0, 1, 2, 3] and len(stored.at(3)) == 1


def test_a_coco_dataset() -> None:
    images = [{"id": n, "width": 64, "height": 48, "file_name": f"{n}.jpg"} for n in (12, 10, 11)]
    annotations = [
        {"id": 1, "image_id": 11, "category_id": 5, "bbox": [1, 2, 3, 4], "iscrowd": 0},
        {"id": 2, "image_id": 12, "category_id": 5, "bbox": [1, 2, 3, 4], "iscrowd": 1},
        {"id": 3, "image_id": 12, "category_id": 9, "bbox": [1, 2, 3, 4], "score": 0.25, "observed": False},
        {"id": 4, "image_id": 12, "category_id": 1, "bbox": [1, 2, 3, 4], "score": 0.25, "observed": True},
    ]
    categories = [{"id": 9, "name": "cat"}, {"id": 1, "name": "person"}, {"id": 5, "name": "dog"}]
    dataset = {"annotations": annotations, "images": images, "categories": categories, "info": {"name": "a"}}
    stored = read_detections(write_text("all.json", json.dumps(dataset)), fps=1)
    assert (stored.categories, stored.width, stored.height) == (("person", "dog", "cat"), 64, 48)
    assert list(stored.frame_times()) == [(9, 9.0), (10, 10.0), (11, 11.0)]
    assert [stored.at(n).labels.tolist() for n in (9, 10, 11)] == [[], [1], [0]]
    assert [stored.at(n).scores.tolist() for n in (10, 11)] == [[1.0], [0.25]]


def test_a_written_coco_file_is_read_with_its_times(stubbed: None) -> None:
    moving_clip(Path("clip.mp4"), 20, pts=VARIABLE, options={"bf": "0"})
    track_to_files("clip.mp4", config("tracks.json", "tracks.csv"))
    stored = read_detections("tracks.json")
    assert list(stored.frame_times()) == [(n, pytest.approx(t / 10)) for n, t in enumerate(VARIABLE)]
    assert (stored.width, stored.height) == SIZE and stored.categories == ("person", "car")
    table = read_detections("tracks.csv")
    for frame in range(20):
        assert np.allclose(stored.at(frame).boxes, table.at(frame).boxes, atol=0.011)
        names = [[s.categories[label] for label in s.at(frame).labels] for s in (stored, table)]
        assert names[0] == names[1]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("gone.txt", None, "there is no file gone.txt"),
        ("empty.txt", "", "empty.txt is empty"),
        ("prose.txt", "This is no table.\n", "prose.txt holds no detections"),
        ("spaces.txt", "1 -1 10 20 thirty 40 0.9\n", "spaces.txt, line 1: 'thirty' is not a number"),
        ("bytes.txt", "\udcff\udcfe\udc80", "bytes.txt holds no detections"),
        ("short.txt", "1,-1,1,1,5,5,1\n2,-1,1,1,5\n", "short.txt, line 2: 5 columns"),
        ("word.txt", "1,-1,1,1,5,5,1\n\n2,-1,1,x,5,5,1\n", "word.txt, line 3: 'x' is not a number"),
        ("nan.txt", "1,-1,1,1,5,5,1\n1,-1,1,nan,5,5,1\n", "nan.txt, line 2: the box and its score must be finite"),
        ("inf.txt", "1,-1,1,1,5,5,inf\n", "inf.txt, line 1: the box and its score must be finite"),
        ("huge.txt", "1,-1,1,1,5,1e39,1\n", "huge.txt, line 1: the box and its score must be finite"),
        ("negative.txt", "1,-1,1,1,5,5,1\n\n1,-1,9,1,-5,5,1\n", "negative.txt, line 3: the box has a negative width"),
        ("zero.txt", "0,-1,1,1,5,5,1\n", "zero.txt, line 1: '0' is no number of a frame"),
        ("half.txt", "1.5,-1,1,1,5,5,1\n", "half.txt, line 1: '1.5' is no number of a frame"),
        ("far.txt", "1,-1,1,1,5,5,1\n1e17,-1,1,1,5,5,1\n", "far.txt, line 2: the number of the frame is not below"),
        ("columns.csv", "frame,class,x1,y1,x2,y2\n", "columns.csv lacks the column score"),
        ("head.csv", HEADER, "head.csv holds no rows"),
        ("cut.csv", HEADER + "1,0,cat,1,1\n", "cut.csv, line 2: 5 columns"),
        ("time.csv", HEADER + "1,nan,cat,1,1,1,2,2\n2,3,cat,1,1,1,2,2\n", "time.csv, line 2"),
        ("two.csv", HEADER + "1,0,a,1,1,1,2,2\n1,1,a,1,1,1,2,2\n", "two.csv, line 3: the time"),
        ("back.csv", HEADER + "2,0,a,1,1,1,2,2\n1,1,a,1,1,1,2,2\n", "back.csv, line 2: the time"),
        ("whole.csv", "frame,class,score,x1,y1,x2,y2\n1.0,a,1,1,1,2,2\n", "whole.csv, line 2: frame is '1.0'"),
        ("minus.csv", "frame,class,score,x1,y1,x2,y2\n-1,a,1,1,1,2,2\n", "minus.csv, line 2: the number of the frame"),
        ("broken.json", '[\n{"image_id": 1,\n', "broken.json, line 3: this is not valid JSON"),
        ("other.json", '{"version": 1}', "other.json is JSON, but holds neither"),
        ("box.json", '[{"image_id": 1, "category_id": 1, "bbox": [1, 2, 3], "score": 1}]', "box.json, annotation 1: "),
        ("key.json", '[{"image_id": 1, "bbox": [1, 2, 3, 4], "score": 1}]', "annotation 1: it lacks 'category_id'"),
        ("lost.json", '[{"image_id": 1, "category_id": 1, "score": 1}]', "annotation 1: it lacks 'bbox'"),
        ("nan.json", '[{"image_id": 1, "category_id": 1, "bbox": [1, 2, 3, NaN]}]', "nan.json, annotation 1: the box"),
        ("less.json", '[{"image_id": 1, "category_id": 1, "bbox": [1, 2, 3, -1]}]', "less.json, annotation 1: the box"),
        (
            "stray.json",
            '{"images": [{"id": 1, "width": 9, "height": 9}], "categories": [{"id": 1, "name": "a"}],'
            ' "annotations": [{"image_id": 2, "category_id": 1, "bbox": [1, 2, 3, 4]}]}',
            "stray.json, annotation 1: there is no image 2",
        ),
        (
            "sizes.json",
            '{"images": [{"id": 1, "width": 9, "height": 9}, {"id": 2, "width": 9, "height": 8}], "annotations": []}',
            "sizes.json, image 2: its size is 9x8",
        ),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_read_gets_one_sentence(name: str, text: str | None, message: str) -> None:
    if text is not None:
        Path(name).write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(InputError) as error:
        read_detections(name)
    assert message in str(error.value) and "\n" not in str(error.value) and len(str(error.value)) < 300


def test_a_broken_seqinfo() -> None:
    write_text("seqinfo.ini", SEQUENCE.replace("29.97", "fast"))
    with pytest.raises(InputError, match=r"seqinfo.ini cannot be read"):
        read_detections(write_text("det.txt", mot_rows(3)[0]))


def test_reading_needs_little_memory() -> None:
    rows = 30_000
    path = write_text("det.txt", "".join(f"{n // 10 + 1},-1,{n % 400}.5,20,30,40,0.75,-1,-1,-1\n" for n in range(rows)))
    tracemalloc.start()
    try:
        stored = read_detections(path)
        current, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(stored.detections) == rows
    assert current < 40 * rows and peak < 500 * rows  # a list of ten numbers takes 376 bytes


# Results are those of the original run


@pytest.mark.parametrize("shuffled", [False, True])
def test_tracks_are_those_of_the_bare_tracker(shuffled: bool) -> None:
    """Runs the tracker frame by frame on the same boxes."""
    by_frame: dict[int, list[list[float]]] = {n: [] for n in range(1, 31)}
    rows = mot_rows()
    for row in rows:
        number, _, x, y, w, h, score, *_ = map(float, row.split(","))
        by_frame[int(number)].append([x - 1, y - 1, x - 1 + w, y - 1 + h, score])
    bare_tracker = tracker.DeepSort(Config().tracker)
    expected = []
    for number, boxes in by_frame.items():
        columns = np.array(boxes, np.float32).reshape(-1, 5)
        labels = np.zeros(len(boxes), np.int64)
        tracks = bare_tracker.update(
            Detections(columns[:, :4], columns[:, 4], labels), np.zeros((len(boxes), 0), np.float32), (number - 1) / 10
        )
        expected.append((number - 1, (number - 1) / 10, tracks.ids.tolist(), tracks.boxes.tolist()))
    if shuffled:
        rows = [rows[n] for n in np.random.default_rng(0).permutation(len(rows))]
    path = write_text("det.txt", "\n".join(rows))
    assert retrack_all(path, Config.model_validate({"source": {"fps": 10}})) == expected
    assert expected[-1][2] == [1, 2]


def blinking_rectangles(number: int, width: int, height: int) -> Image:
    """Returns an image of `moving_rectangles`; in some frames, and in the last ones, it is empty."""
    return (
        moving_rectangles(number, width, height)
        if number % 7 != 3 and number < 36
        else np.full((height, width, 3), 30, np.uint8)
    )


PARTS: list[dict[str, Any]] = [{}, {"every": 3}, {"start": 0.55, "end": 2.9}, {"start": 1.0, "every": 2}]


@pytest.mark.parametrize("part", PARTS, ids=str)
@pytest.mark.parametrize("embedder", ["none", "builtin"])
@pytest.mark.smoke
def test_stored_detections_give_the_same_tracks(stubbed: None, embedder: str, part: dict[str, Any]) -> None:
    times = [5 * n + n % 2 + 2 * (n % 5 == 0) for n in range(40)]
    write_clip(Path("clip.mp4"), 40, 30, pts=times, options={"bf": "0"}, size=SIZE, draw=blinking_rectangles)
    appearance = {"embedder": embedder}
    coasting = {"max_coast": 0.5}
    first = track_to_files(
        "clip.mp4",
        config("a.csv", "a.mp4", source=part, appearance=appearance, tracker=coasting, output={"detections": "d.csv"}),
    )
    assert first.output_paths == [Path("a.csv"), Path("a.mp4"), Path("d.csv")]
    if embedder == "none":
        retracked = retrack_to_files("d.csv", config("b.csv", tracker=coasting))
    else:
        retracked = retrack_to_files("d.csv", config("b.csv", "b.mp4", tracker=coasting), "clip.mp4")
        assert frame_times(Path("a.mp4"))[0] == frame_times(Path("b.mp4"))[0]
    assert (retracked.frames, retracked.filtered_out) == (first.frames, 0)
    assert Path("a.csv").read_bytes() == Path("b.csv").read_bytes()
    assert Path("a.csv").read_bytes().count(b"\n") > 5


def frame_times(path: Path) -> tuple[list[Fraction], Fraction]:
    """Returns the time at which each frame is shown, and the duration of the last one, in seconds."""
    with av.open(str(path)) as container:
        frames = [
            (frame.pts * frame.time_base, frame.duration * frame.time_base) for frame in container.decode(video=0)
        ]
    return [pts for pts, _ in frames], frames[-1][1]


def test_numbers_are_stored_exactly() -> None:
    rng = np.random.default_rng(1)
    corners = rng.uniform(0, 4000, (500, 2))
    boxes = np.concatenate([corners, corners + 10 ** rng.uniform(-2, 3, (500, 2))], 1).astype(np.float32)
    scores = (10 ** rng.uniform(-6, 0, 500)).astype(np.float32)
    info = VideoInfo("a", 4000, 3000, Fraction(1, 1000), Fraction(30))
    writer = DetectionWriter(Path("d.csv"), info, ("person", "a, b", "cat"))
    labels = rng.integers(0, 2, 500)
    times = [0.1 + 0.2, 1 / 3, 1e5 / 3]
    for n, time in enumerate(times):
        frame = Frame(4 * n, time, n, np.zeros((1, 1, 3), np.uint8))
        rows = slice(200 * n, 200 * n + 200)
        writer.write(frame, Detections(boxes[rows], scores[rows], labels[rows]))
    writer.close()
    stored = read_detections("d.csv")
    assert list(stored.frame_times()) == [(0, times[0]), (4, times[1]), (8, times[2])]
    assert np.array_equal(stored.detections.boxes, boxes) and np.array_equal(stored.detections.scores, scores)
    assert np.array_equal(stored.detections.labels, labels) and stored.categories == ("person", "a, b")


@pytest.mark.slow
@needs_pets
@pytest.mark.parametrize("embedder", ["none", "builtin"])
def test_stored_detections_of_real_networks_give_the_same_tracks(embedder: str) -> None:
    sections = {
        "source": {"start": 3.0, "end": 5.0},
        "detector": {"score": 0.3, "device": "cpu"},
        "appearance": {"embedder": embedder},
    }
    video = PETS / "video.mp4"
    track_to_files(video, config("a.csv", output={"detections": "d.csv"}, **sections))
    retrack_to_files("d.csv", config("b.csv", **sections), video if embedder != "none" else "")
    assert Path("a.csv").read_bytes() == Path("b.csv").read_bytes()
    assert Path("a.csv").read_bytes().count(b"\n") > 50


# With and without the video


def test_without_the_video_frames_are_blank() -> None:
    write_text("seqinfo.ini", SEQUENCE)
    path = write_text("det.txt", "\n".join(mot_rows()))
    frames = [frame for frame, _ in retrack(path)]
    assert [frame.index for frame in frames] == list(range(40))  # to the end of the sequence
    assert all(frame.image.shape == (120, 160, 3) and not frame.image.any() for frame in frames)
    assert frames[7].time == float(7 / Fraction("29.97"))
    Path("seqinfo.ini").unlink()
    assert {frame.image.shape for frame, _ in retrack(path)} == {(0, 0, 3)}


def test_with_the_video_tracks_are_drawn_and_have_appearance(stubbed: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Times are the video's; boxes reach beyond the image; the detector is not loaded."""
    embedder_inputs: list[Any] = []

    class RecordingEmbedder(StubEmbedder):
        def embed(self, images: Any, boxes: Any) -> Any:
            embedder_inputs.extend(zip(images, boxes, strict=True))
            return super().embed(images, boxes)

    monkeypatch.setattr(tracker.models.reid, "load_embedder", lambda *_: RecordingEmbedder())
    monkeypatch.setattr(tracker.pipeline.networks, "load_detector", lambda *_: pytest.fail("the detector was loaded"))
    moving_clip(Path("clip.mp4"), 20, pts=VARIABLE, options={"bf": "0"}, audio=2.0)
    rows = [f"{n},-1,-5,{100 - n},30,40,0.9" for n in range(1, 21)] + ["4,-1,200,200,30,40,0.9"]
    path = write_text("det.txt", "\n".join(rows))
    result = retrack_to_files(path, config("v.mp4", "t.csv"), "clip.mp4")
    assert (result.frames, result.filtered_out, result.summary.counts) == (20, 1, {"person": 1})
    assert frame_times(Path("v.mp4"))[0] == frame_times(Path("clip.mp4"))[0]
    with av.open("v.mp4") as container:
        assert len(container.streams.audio) == 1
        frame = next(frame for frame in container.decode(video=0) if frame.pts * frame.time_base > 1)
    drawn = frame.to_ndarray(format="rgb24")
    assert np.ptp(drawn[95:].astype(int), axis=2).max() > 60, "no colored box"
    assert len(embedder_inputs) == 20 and embedder_inputs[0][1].tolist() == [[0, 98, 24, 120]]
    with Path("t.csv").open() as file:
        times = {int(row["frame"]): row["time_s"] for row in csv.DictReader(file)}
    assert times[19] == f"{VARIABLE[19] / 10:.6f}"


def test_a_video_of_another_size(stubbed: None) -> None:
    moving_clip(Path("clip.mp4"), 5)
    write_text("seqinfo.ini", SEQUENCE.replace("160", "768"))
    with pytest.raises(InputError, match=r"det.txt is for images of 768x120 pixels, but clip.mp4 is 160x120"):
        next(retrack(write_text("det.txt", "\n".join(mot_rows())), video="clip.mp4"))


def left_edges(rows: list[str], **output: Any) -> list[float]:
    """Returns the left edges, in pixels, of the tracks of a sequence of 160 x 120 pixels."""
    write_text("street/seqinfo.ini", SEQUENCE)
    write_text("street/det/det.txt", "\n".join(rows))
    retrack_to_files("street/det/det.txt", config("t.csv", output={"overwrite": True, **output}))
    with open("t.csv", newline="") as file:
        return [float(row["x1"]) for row in csv.DictReader(file)]


def test_given_boxes_that_reach_out_of_the_image_stay_as_they_are() -> None:
    rows = [f"{n},-1,{-20 + n},20,40,80,0.9" for n in range(1, 8)]
    assert min(left_edges(rows)) < -15
    assert min(left_edges(rows, clip_boxes=True)) == 0
    at_the_edge = [f"{n},-1,{max(8 - 3 * n, 1)},20,{20 + min(8 - 3 * n, 0)},80,0.9" for n in range(1, 6)]
    assert min(left_edges(at_the_edge)) == 0, "the detector clips its boxes: what the filter adds is clipped too"


def test_a_part_of_the_stored_frames() -> None:
    path = write_text("det.txt", "\n".join(mot_rows()))
    part = Config.model_validate({"source": {"fps": 10, "start": 0.5, "end": 2.0, "every": 4}})
    assert [(frame.index, frame.time) for frame, _ in retrack(path, part)] == [(5, 0.5), (9, 0.9), (13, 1.3), (17, 1.7)]
    late = Config.model_validate({"source": {"fps": 10, "start": 99}})
    with pytest.raises(InputError, match=r"the start, 99 s, is beyond the end of det.txt at 2.900 s"):
        next(retrack(path, late))


def test_score_and_classes_filter(stubbed: None) -> None:
    objects = (("cat", 0.4, 10, 50), ("cat", 0.95, 50, 90), ("cat", 0.97, 10, 10), ("dog", 0.96, 100, 10))
    rows = [f"{n},{n / 10},{name},{score},{x},{y},{x + 20},{y + 30}" for n in range(9) for name, score, x, y in objects]
    stored = read_detections(write_text("d.csv", HEADER + "\n".join(rows)))
    for settings, counts, filtered_out in [
        ({}, {"cat": 2, "dog": 1}, 0),  # another program has chosen them: only what is below 0.1 is left out
        ({"score": 0.5}, {"cat": 2, "dog": 1}, 9),
        ({"score": 0.4}, {"cat": 2, "dog": 1}, 0),
        ({"score": 0.96}, {"cat": 1, "dog": 1}, 18),
        ({"score": 0.965}, {"cat": 1}, 27),
        ({"classes": ["dog"]}, {"dog": 1}, 27),
    ]:
        result = retrack_to_files(stored, config("t.csv", detector=settings, output={"overwrite": True}))
        assert (dict(result.summary.counts), result.filtered_out) == (counts, filtered_out)
    with pytest.raises(InputError, match=r"d.csv: unknown class 'cta' \(did you mean 'cat'\?\)"):
        retrack_to_files(stored, config("u.csv", detector={"classes": ["cta"]}))


# The command


Result = tuple[int, str, str]


@pytest.fixture
def track(capsys: pytest.CaptureFixture[str]) -> Callable[..., Result]:
    def run(*arguments: object) -> Result:
        with pytest.raises(SystemExit) as end:
            main([str(argument) for argument in arguments])
        output, errors = capsys.readouterr()
        return int(end.value.code or 0), output, errors

    return run


def test_files_and_output_of_a_run(track: Callable[..., Result]) -> None:
    write_text("Street/seqinfo.ini", SEQUENCE)
    write_text("Street/det/det.txt", "\n".join([*mot_rows(), "1,-1,50,50,10,10,0.05", "2,-1,500,50,10,10,0.9"]))
    code, output, errors = track("retrack", "Street/det/det.txt")
    assert (code, errors) == (0, "")
    lines = output.splitlines()
    assert lines[0].startswith("40 frames in ")
    assert lines[1] == "2 stored detections were left out: score, class, or outside of the image"
    assert lines[2] == "tracks: 2 person"
    files = ["tracks.csv", "tracks.parquet", "tracks_summary.parquet", "summary.csv", "run.json"]
    assert lines[-5:] == [f"wrote tracked/Street/{name}" for name in files]
    assert {path.name for path in Path("tracked/Street").iterdir()} == set(files)
    record = json.loads(Path("tracked/Street/run.json").read_text())
    assert record["detections"]["file"] == "det.txt" and len(record["detections"]["sha256"]) == 64
    assert (record["frames"], record["tracks"], record["weights"]) == (40, {"person": 2}, {})
    # One of the boxes reaches out of the image, and the detections are those of another program.
    used = {"output": {"clip_boxes": False}, "detector": {"score": 0.1}}
    assert Config.model_validate(record["config"]) == Config.model_validate(used)


def test_all_tables_are_written(track: Callable[..., Result]) -> None:
    write_text("seqinfo.ini", SEQUENCE)
    write_text("det.txt", "\n".join(mot_rows()))
    assert track("retrack", "det.txt", "--output", "t.csv,t.txt,t.json", "--quiet") == (0, "", "")
    with Path("t.csv").open() as file:
        rows = list(csv.DictReader(file))
    boxes = [[float(row[key]) for key in ("x1", "y1", "x2", "y2")] for row in rows]
    assert np.min(boxes) >= 0 and np.max(boxes, axis=0)[2] <= 160
    frames_and_ids = [(int(row["frame"]) + 1, int(row["track_id"])) for row in rows]
    assert frames_and_ids == [tuple(map(int, line.split(",")[:2])) for line in Path("t.txt").read_text().splitlines()]
    coco = json.loads(Path("t.json").read_text())
    assert len(coco["images"]) == 40 and coco["images"][0]["width"] == 160
    assert frames_and_ids == [(item["image_id"], item["track_id"]) for item in coco["annotations"]]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("", "DETECTIONS requires an argument"),
        ("gone.txt", "there is no file gone.txt"),
        ("det.txt --video gone.mp4", "there is no file or folder gone.mp4"),
        ("det.txt --output a.mp4", "cannot write a.mp4: an annotated video needs the images; give --video"),
        ("det.txt --output a.json", "cannot write a.json: COCO's JSON needs the size of the images"),
        ("det.txt --show", "--show needs the images"),
        ("det.txt --camera-motion flow", "--camera-motion needs images"),
        ("det.txt --output det.txt --overwrite", "det.txt is the source itself"),
        ("det.txt --output a.csv --detections b.json", "cannot write b.json: detections are stored as .csv"),
        ("det.txt --output a.csv --detections ./a.csv", "two outputs have the same name"),
        ("det.txt --output a.csv --detections old.csv", "old.csv exists"),
        ("det.txt --classes cat", "det.txt: unknown class 'cat'"),
        ("det.txt --exactly dog=1", "exactly: unknown class 'dog'"),
        ("det.txt --exactly 0", "--exactly 0: give a number from 1 on"),
        ("det.txt --max-objects 4 --exactly person=2", "about the same objects: give one of them"),
        ("det.txt --start 5 --end 4", "the end, 4 s, is not after the start, 5 s"),
        ("det.txt --start 50", "beyond the end of det.txt"),
        ("det.txt --model builtin", "Unknown option: --model"),
        ("clip.mp4", "clip.mp4 holds no detections"),
    ],
)
def test_bad_input_gets_one_sentence(track: Callable[..., Result], arguments: str, message: str) -> None:
    moving_clip(Path("clip.mp4"), 5)
    write_text("det.txt", "\n".join(mot_rows()))
    write_text("old.csv", "mine")
    before = set(Path().rglob("*"))
    code, output, errors = track("retrack", *arguments.split())
    assert (code, output) == (2, "") and errors.startswith("track: ") and errors.count("\n") == 1
    assert message in errors
    assert set(Path().rglob("*")) == before and Path("old.csv").read_text() == "mine"


@pytest.mark.parametrize("flags", [(), ("--offline",)])
def test_a_known_number_of_objects(track: Callable[..., Result], flags: tuple[str, ...]) -> None:
    rows = [row for row in mot_rows(60) if not 30 <= int(row.split(",")[0]) < 40]
    write_text("det.txt", "\n".join([*rows, *(f"{n},-1,200,300,20,50,0.99,-1,-1,-1" for n in range(40, 50))]))
    code, _, errors = track("retrack", "det.txt", "--exactly", "person=2", *flags)
    assert code == 0
    assert errors.startswith("warning: there are detections of more than 2 person at once at 1.3 to 1.6 s: some of")
    with Path("tracked/det/tracks.csv").open() as file:
        assert {row["track_id"] for row in csv.DictReader(file)} == {"1", "2"}


def test_a_run_stores_its_detections(track: Callable[..., Result], stubbed: None) -> None:
    write_clip(Path("clip.mp4"), 12, size=SIZE, draw=blinking_rectangles)
    code, output, _ = track("clip.mp4", "--output", "t.csv", "--detections", "d.csv")
    assert code == 0 and output.endswith("wrote t.csv\nwrote d.csv\n")
    with Path("d.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["frame"]) for row in rows] == sorted([*range(12), *(n for n in range(12) if n % 7 != 3)])
    assert [row["class"] for row in rows if row["frame"] == "10"] == [""]
    assert {(row["class"], row["label"]) for row in rows} == {("person", "0"), ("car", "1"), ("", "")}


def test_a_killed_run_leaves_whole_frames_of_detections() -> None:
    """Detections of the first frames can be tracked, also with the whole video."""
    info = VideoInfo("a", *SIZE, Fraction(1, 10), Fraction(10))
    writer = DetectionWriter(Path("d.csv"), info, ("person",))
    for n in range(5):
        writer.write(Frame(n, n / 10, n, np.zeros((1, 1, 3), np.uint8)), Detections.empty())
        assert read_detections("d.csv").count() == n + 1  # not closed yet
    writer.close()
    moving_clip(Path("clip.mp4"), 12)
    settings = config("v.mp4", appearance={"embedder": "none"})
    assert retrack_to_files("d.csv", settings, "clip.mp4").frames == 5
    assert frame_times(Path("v.mp4")) == ([Fraction(n, 10) for n in range(5)], Fraction(1, 10))


def test_torch_is_not_loaded_without_the_video() -> None:
    write_text("det.txt", "\n".join(mot_rows()))
    code = (
        "import sys, tracker.cli.app\n"
        "try: tracker.cli.app.main(['retrack', 'det.txt'])\n"
        "finally: print(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert Path("tracked/det/tracks.csv").exists()
    assert not {"torch", "torchvision", "lightning"} & set(done.stderr.split())


@pytest.mark.slow
def test_after_a_signal_the_files_are_finished() -> None:
    write_text("det.txt", "\n".join(mot_rows(40_000)))
    command = [sys.executable, "-m", "tracker", "retrack", "det.txt"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        table = Path("tracked/det/tracks.csv")
        while not (table.exists() and table.stat().st_size > 10_000):
            assert process.poll() is None, process.communicate()
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (130, "") and ", stopped\n" in output
    record = json.loads(Path("tracked/det/run.json").read_text())
    assert record["status"] == "stopped" and 0 < record["frames"] < 40_000
    assert int(table.read_text().splitlines()[-1].split(",")[0]) == record["frames"] - 1


# The folder of a run


@pytest.mark.parametrize("flags", [[], ["--offline"], ["--detect-every", "2"], ["--max-age", "1"]])
def test_the_folder_of_a_run_gives_its_tracks_again(
    flags: list[str], stubbed: None, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    moving_clip(Path("film.mp4"), 130)
    for arguments in (["film.mp4", *flags], ["retrack", "tracked/film"]):
        with pytest.raises(SystemExit) as end:
            main(arguments)
        assert not end.value.code, capsys.readouterr().err
        # With the video gone: embeddings come from the store.
        Path("film.mp4").unlink(missing_ok=True)
        monkeypatch.setattr(tracker.models.reid, "load_embedder", lambda *_, **__: pytest.fail("it was loaded"))
    first, second = Path("tracked/film"), Path("tracked/film-2")
    for name in ("tracks.csv", "tracks.parquet", "tracks_summary.parquet", "summary.csv"):
        assert (first / name).read_bytes() == (second / name).read_bytes(), name
    assert not (second / "detections").exists() and not (second / "video.mp4").exists()
    ids = [tracks.ids.tolist() for _, tracks in retrack(first)]
    assert len(ids) == 130 and any(ids)


def test_a_runs_own_detections_have_the_threshold_of_the_settings(stubbed: None) -> None:
    moving_clip(Path("clip.mp4"), 9)
    track_to_files("clip.mp4", Config())
    retrack_to_files("tracked/clip", Config())
    assert json.loads(Path("tracked/clip-2/run.json").read_text())["config"]["detector"]["score"] == 0.5


def test_a_folder_without_stored_detections() -> None:
    Path("empty").mkdir()
    with pytest.raises(InputError, match="empty has no stored detections"):
        read_detections("empty")


def test_images_of_a_run_that_was_tracked_again_come_from_the_first_ones_source(
    track: Callable[..., Result], stubbed: None
) -> None:
    moving_clip(Path("clip.mp4"), 30)
    assert track("clip.mp4", "--start", 0.4)[0] == 0
    assert track("retrack", "tracked/clip", "--max-age", 2)[0] == 0
    for command in (["blur"], ["heatmap"], ["report"], ["export", "-o", "drawn.mp4"]):
        code, _, errors = track(command[0], "tracked/clip-2", *command[1:])
        assert code == 0, errors
    with av.open("tracked/clip-2/blurred.mp4") as blurred, av.open("tracked/clip/video.mp4") as first:
        assert blurred.streams.video[0].frames == first.streams.video[0].frames < 30
    Path("clip.mp4").unlink()
    code, _, errors = track("blur", "tracked/clip-2", "--overwrite")
    assert code == 2 and "give the file by --video" in errors
