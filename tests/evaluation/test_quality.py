"""The quality of tracks without ground truth: what lowers it, and where its detections come from."""

import csv
from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from math import isnan
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from detection_scenes import HEIGHT, SCENES, WIDTH, SceneFrame
from tracker.config import TrackerConfig
from tracker.data.run_tracks import RunTracks
from tracker.data.store import PartWriter, StoredFrame, StoreInfo
from tracker.evaluation.quality import Quality, measure_quality
from tracker.output.run_folder import write_run
from tracker.tracking import DeepSort

Track = Callable[..., tuple[int, str, str]]
SCENE = list(SCENES["crossing"]())
CONFIG = TrackerConfig()


def track_scene(scene: Sequence[SceneFrame], folder: Path = Path("run"), config: TrackerConfig = CONFIG) -> RunTracks:
    """Returns the tracks of a scene by motion alone, as those of a run."""
    tracker = DeepSort(config, (), (WIDTH, HEIGHT))
    found = [tracker.update(frame.detections, None, frame.time) for frame in scene]
    numbers = np.repeat(np.arange(len(found)), [len(tracks) for tracks in found])
    columns = {name: np.concatenate([getattr(one, name) for one in found]) for name in ("ids", "scores", "observed")}
    boxes = np.concatenate([one.boxes for one in found]).astype(np.float64)
    times, labels = np.array([frame.time for frame in scene])[numbers], np.zeros(len(numbers), np.int64)
    source = {"name": "clip.mp4", "path": "", "width": WIDTH, "height": HEIGHT, "frame_rate": "25"}
    record = {"status": "finished", "source": source, "config": {}}
    return RunTracks(
        folder, numbers, times, labels=labels, boxes=boxes, categories=("person",), width=WIDTH, height=HEIGHT,
        record=record, **columns,
    )  # fmt: skip


def store(scene: Sequence[SceneFrame], with_embeddings: bool = False) -> list[StoredFrame]:
    """Returns the frames of a scene as they are stored."""
    frames = []
    for number, frame in enumerate(scene):
        none = np.zeros((len(frame.detections), 0), np.float32)
        embeddings = frame.embeddings if with_embeddings else none
        frames.append(StoredFrame(number, number, frame.time, frame.detections, embeddings, none))
    return frames


def measure(tracks: RunTracks, scene: Sequence[SceneFrame] = SCENE, embeddings: bool = False) -> Quality:
    labels = (0,) if embeddings else ()
    return measure_quality(tracks, reversed(store(scene, embeddings)), CONFIG, labels)


def swap_in_the_middle(tracks: RunTracks) -> RunTracks:
    late = tracks.times > SCENE[-1].time / 2
    return replace(tracks, ids=np.where(late, 3 - tracks.ids, tracks.ids))


def test_good_tracks_agree() -> None:
    quality = measure(track_scene(SCENE))
    assert quality.agreement > 0.95 and quality.id_agreement > 0.98 and quality.jumps_per_minute == 0
    assert [one.fragments for one in quality.tracks] == [1, 2]  # the one behind is covered while they pass
    assert isnan(quality.appearance) and "appearance" not in quality.describe()


def test_swapped_identities_lower_agreement_and_are_jumps() -> None:
    quality = measure(swap_in_the_middle(track_scene(SCENE)))
    assert 0.4 < quality.agreement < 0.75
    assert all(one.agreement < 0.6 for one in quality.tracks)
    early = replace(track_scene(SCENE), ids=swap_at(track_scene(SCENE), 1.0))
    assert [one.jumps > 0 for one in measure(early).tracks] == [True, True]


def swap_at(tracks: RunTracks, time: float) -> NDArray[np.int64]:
    return np.where(tracks.times > time, 3 - tracks.ids, tracks.ids)


def test_a_split_track_lowers_agreement() -> None:
    tracks = track_scene(SCENE)
    split = replace(tracks, ids=np.where((tracks.ids == 1) & (tracks.times > 3), 9, tracks.ids))
    whole, parts = measure(tracks), measure(split)
    assert parts.agreement < whole.agreement - 0.1 and len(parts.tracks) == 3


def test_missing_detections_lower_fill() -> None:
    rng = np.random.default_rng(0)
    thinned = [replace(frame, detections=frame.detections[rng.random(len(frame.detections)) < 0.6]) for frame in SCENE]
    quality = measure(track_scene(thinned), thinned)
    assert quality.fill == pytest.approx(0.6, abs=0.08) and quality.fragments_per_second > 5


def test_settings_that_break_tracks_are_told() -> None:
    """The backward pass has the defaults, so that it does not break them at the same places."""
    breaking = TrackerConfig(max_age=0.05, min_iou=0.7, recover_iou=0, n_init=1)
    noisy = list(SCENES["crowd"](seed=1))
    broken, good = track_scene(noisy, config=breaking), track_scene(noisy)
    frames = store(noisy)
    agreement = [
        measure_quality(tracks, reversed(frames), config).agreement
        for tracks, config in ((broken, breaking), (good, CONFIG))
    ]
    assert agreement[0] < agreement[1] - 0.1


def test_appearance_tells_swapped_identities() -> None:
    tracks = track_scene(SCENE)
    good, swapped = measure(tracks, embeddings=True), measure(swap_in_the_middle(tracks), embeddings=True)
    assert good.appearance > 0.75 and swapped.appearance == pytest.approx(0.5, abs=0.1)


def test_frames_without_detector_are_no_gaps() -> None:
    scene = SCENE[:60]
    tracks = track_scene(scene[::3])
    tracks = replace(tracks, frames=tracks.frames * 3)
    frames = [replace(frame, detector_ran=frame.index % 3 == 0) for frame in store(scene)]
    quality = measure_quality(tracks, reversed(frames), CONFIG)
    assert quality.fill == 1 and quality.agreement > 0.85


def test_offline_runs_are_compared_with_an_offline_pass() -> None:
    config = TrackerConfig(offline=True)
    quality = measure_quality(track_scene(SCENE), reversed(store(SCENE)), config)
    assert quality.agreement > 0.95


@pytest.fixture
def run(working_folder: Path) -> Path:
    """Makes the folder of a run with its stored detections."""
    folder = working_folder / "tracked" / "clip"
    (folder / "detections").mkdir(parents=True)
    write_run(track_scene(SCENE, folder))
    info = StoreInfo("clip", ("person",), WIDTH, HEIGHT, Fraction(25), Fraction(1, 25))
    writer = PartWriter(folder / "detections", info)
    for frame in store(SCENE):
        writer.write(frame)
    writer.finish(complete=True)
    return folder


def test_the_command_prints_and_writes(track: Track, run: Path) -> None:
    code, out, err = track("quality", run, "--output", "tracks.csv")
    assert (code, err) == (0, "")
    assert "agreement " in out and "fragments" in out and "wrote tracks.csv" in out
    rows = list(csv.DictReader(Path("tracks.csv").read_text().splitlines()))
    assert [row["track_id"] for row in rows] == ["1", "2"] and float(rows[0]["agreement"]) > 0.9


def test_repairs_count(track: Track, run: Path) -> None:
    before = track("quality", run)[1]
    assert track("edit", run, "swap", "1", "2", "--at", "2")[0] == 0
    assert track("quality", run)[1] != before


def test_a_run_over_stored_detections_finds_them(track: Track, run: Path) -> None:
    assert track("retrack", run)[0] == 0
    code, out, _ = track("quality", "tracked/clip-2")
    assert code == 0 and "agreement" in out


def test_without_detections_it_says_what_is_missing(track: Track, run: Path) -> None:
    for part in (run / "detections").iterdir():
        part.unlink()
    code, out, err = track("quality", run)
    assert (code, out) == (2, "") and "has no stored detections: name them by --detections" in err
    assert track("quality", "nothing")[0] == 2
    assert track("quality", run, "--detections", "nothing.csv")[0] == 2
