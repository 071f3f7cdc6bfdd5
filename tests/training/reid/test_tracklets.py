"""Learning from tracks without labels: the batches of tracklets, their table, and the accuracy that is gained."""

from pathlib import Path

import numpy as np
import pytest
import torch

from creature_films import Film, make_coats, make_film
from small_trainings import SMALL_TRAINING
from video_clips import write_image

pytest.importorskip("lightning", reason="the extra [train] is not installed")
pytest.importorskip("trackeval", reason="the extra [eval] is not installed")

from tracker import retrack
from tracker.cli.crops import extract_training_crops
from tracker.config import Config, EmbedderTrainingConfig, SourceConfig
from tracker.config.tools import SELF_SUPERVISED_TRACKING
from tracker.data import read_reid_dataset
from tracker.data.tracklets import COLUMNS, read_track_categories, read_track_intervals
from tracker.errors import InputError
from tracker.evaluation.mot.metrics import combined_metrics
from tracker.models.reid import load_embedder
from tracker.structures.boxes import clip, xywh_to_xyxy, xyxy_to_xywh
from tracker.training.reid.embedder import train_embedder
from tracker.training.reid.tracklet_sampler import TrackletBatchDataset
from tracker.video import open_source

pytestmark = SMALL_TRAINING

# Intervals in which each track is visible, seconds, by video and folder.
INTERVALS = {
    "a": {"cat-0001": [(0, 4), (8, 10)], "cat-0002": [(3, 9)], "cat-0003": [(5, 7)], "dog-0004": [(11, 12)]},
    "b": {"cat-0001": [(0, 20)], "cat-0002": [(1, 2)]},
}
SIMULTANEOUS = {("a/cat-0001", "a/cat-0002"), ("a/cat-0002", "a/cat-0003"), ("b/cat-0001", "b/cat-0002")}


def write_track(folder: Path, count: int = 6) -> None:
    folder.mkdir(parents=True)
    for rank in range(count):
        frame = (rank * 5) % count * 10  # crops are not ranked by time
        write_image(folder / f"{rank:02}_{frame:08}.png", np.full((20, 12, 3), frame, np.uint8))


def write_table(video: Path, rows: list[tuple[object, ...]]) -> None:
    lines = [COLUMNS, *rows]
    (video / "tracks.csv").write_text("".join(",".join(map(str, line)) + "\n" for line in lines))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Writes crops of the tracks in INTERVALS as `track crops` does; the gray value of a crop is its frame."""
    for video, tracks in INTERVALS.items():
        for name in tracks:
            write_track(tmp_path / "crops" / video / name)
        rows = [(name, name[:3], *interval, 9, 0.9) for name, intervals in tracks.items() for interval in intervals]
        write_table(tmp_path / "crops" / video, rows)
    return tmp_path / "crops"


def tracklet_dataset(root: Path, **changes: object) -> TrackletBatchDataset:
    values = {"train": str(root), "size": (64, 32), "tracklets": True, "identities_per_batch": 8}
    values |= {"crops_per_identity": 3, **changes}
    return TrackletBatchDataset(read_reid_dataset([root]), EmbedderTrainingConfig.model_validate(values))


def test_a_batch_has_tracks_that_are_visible_at_the_same_time(root: Path) -> None:
    dataset = tracklet_dataset(root)
    names = dataset.crops.identities
    groups = []
    for batch in range(200):
        ids = dataset.crops.ids[dataset.sample_batch(batch)].reshape(-1, 3)
        assert (ids == ids[:, :1]).all()
        groups.append(tuple(sorted(names[n] for n in ids[:, 0])))
    assert set(groups) == SIMULTANEOUS  # the first and the third track of video a do not overlap
    counts = {pair: groups.count(pair) for pair in SIMULTANEOUS}
    assert min(counts.values()) > 30, "a pair that overlaps for a second is sampled as often as one for 20 seconds"


def test_three_tracks_at_the_same_time(root: Path) -> None:
    write_table(root / "b", [(f"cat-000{n}", "cat", 0, 5, 9, 0.9) for n in (1, 2)])
    write_track(root / "b" / "cat-0003")
    with (root / "b" / "tracks.csv").open("a") as file:
        file.write("cat-0003,cat,4,9,9,0.9\n")
    sizes = {len(set(tracklet_dataset(root).sample_batch(batch))) // 3 for batch in range(100)}
    assert sizes == {2, 3}
    pairs = tracklet_dataset(root, identities_per_batch=2)
    assert {len(pairs.sample_batch(batch)) for batch in range(50)} == {6}


def test_the_crops_of_a_track_are_spread_over_its_length(root: Path) -> None:
    dataset = tracklet_dataset(root)
    for batch in range(30):
        indices = np.array(dataset.sample_batch(batch)).reshape(-1, 3)
        for track in indices:
            thirds = [int(dataset.crops.files[index].stem[3:]) // 20 for index in track]
            assert thirds == [0, 1, 2]  # one crop of each third of the track's six


def test_a_track_with_few_crops_is_sampled_with_repetition(root: Path) -> None:
    for rank in range(1, 6):
        next((root / "b" / "cat-0002").glob(f"0{rank}_*")).unlink()
    dataset = tracklet_dataset(root)
    identity = dataset.crops.identities.index("b/cat-0002")
    indices = [i for batch in range(50) for i in dataset.sample_batch(batch) if dataset.crops.ids[i] == identity]
    assert len(indices) > 3 and len(set(indices)) == 1


def test_a_batch_is_the_same_in_any_process(root: Path) -> None:
    (images, ids), (other_images, other_ids) = tracklet_dataset(root)[7], tracklet_dataset(root)[7]
    assert torch.equal(images, other_images) and torch.equal(ids, other_ids)
    assert images.shape[1:] == (3, 64, 32) and len(images) == len(ids)


def test_the_intervals_of_tracks(root: Path) -> None:
    crops = read_reid_dataset([root])
    intervals = read_track_intervals(root, crops)
    expected = [
        (crops.identities.index(f"{video}/{name}"), number, *interval)
        for number, video in enumerate(INTERVALS)
        for name, of_track in INTERVALS[video].items()
        for interval in of_track
    ]
    assert intervals.tolist() == [list(row) for row in sorted(expected)]
    assert read_track_categories(root) == ("cat", "dog")


def test_folders_that_a_person_merged_can_be_used(root: Path) -> None:
    """The crops of a track are moved into the folder of another track of the same identity."""
    for file in (root / "a" / "cat-0003").iterdir():
        file.rename(root / "a" / "cat-0001" / f"more_{file.name}")
    (root / "a" / "cat-0003").rmdir()
    crops = read_reid_dataset([root])
    assert len(crops.identities) == 5 and np.bincount(crops.ids)[0] == 12
    assert len(read_track_intervals(root, crops)) == 6
    tracklet_dataset(root)[0]


def test_folders_made_by_hand_are_refused(root: Path) -> None:
    write_track(root / "a" / "Tom")
    assert "a/Tom" in read_reid_dataset([root]).identities
    with pytest.raises(InputError, match=r"tracks\.csv does not name Tom: .* train without tracklets"):
        tracklet_dataset(root)


def test_a_missing_table(root: Path) -> None:
    (root / "b" / "tracks.csv").unlink()
    with pytest.raises(InputError, match=r"there is no .*b/tracks\.csv"):
        tracklet_dataset(root)


@pytest.mark.parametrize(
    "text", ["", "folder,first\n", "folder,category,first,last,frames,score\ncat-0001,cat,x,2,3,4\n"]
)
def test_a_broken_table(root: Path, text: str) -> None:
    (root / "b" / "tracks.csv").write_text(text)
    with pytest.raises(InputError, match=r"b/tracks\.csv (is no table of tracks|does not name)"):
        tracklet_dataset(root)


def test_no_two_tracks_at_the_same_time(root: Path) -> None:
    write_table(root / "a", [(name, "cat", 10 * n, 10 * n + 5, 9, 0.9) for n, name in enumerate(INTERVALS["a"])])
    write_table(root / "b", [("cat-0001", "cat", 0, 1, 9, 0.9), ("cat-0002", "cat", 2, 3, 9, 0.9)])
    with pytest.raises(InputError, match=r"no two tracks in .* are visible at the same time"):
        tracklet_dataset(root)


# From videos to an embedder, and to better tracks


def tracking_metrics(film: Film, embedder: str) -> dict[str, float]:
    """Tracks the stored detections of a film with an embedder, or by motion alone, and returns the metrics."""
    config = Config.model_validate({"appearance": {"embedder": embedder}, "detector": {"threads": 1}})
    rows = [
        np.column_stack([np.full(len(tracks), frame.index + 1), tracks.ids, xyxy_to_xywh(tracks.boxes), tracks.scores])
        for frame, tracks in retrack(film.detections, config, "" if embedder == "none" else film.video)
    ]
    return combined_metrics({"film": (np.concatenate(rows), film.ground_truth)})


def verification_auc(film: Film, embedder: str) -> float:
    """Returns the area under the ROC curve: how often two crops of one animal are more similar than of two."""
    embeddings, ids = [], []
    with (
        load_embedder(embedder, torch.device("cpu"), threads=1) as network,
        open_source(film.video, SourceConfig()) as video,
    ):
        for frame in video:
            visible = film.ground_truth[film.ground_truth[:, 0] == frame.index + 1]
            if frame.index % 5 == 0 and len(visible):
                boxes = clip(xywh_to_xyxy(visible[:, 2:6].astype(np.float32)), video.width, video.height)
                embeddings += network.embed(network.upload([frame.image]), [boxes])
                ids += visible[:, 1].tolist()
    similarity = np.concatenate(embeddings) @ np.concatenate(embeddings).T
    same = np.array(ids)[:, None] == ids
    positive, negative = similarity[same & ~np.eye(len(ids), dtype=bool)], np.sort(similarity[~same])
    return float(np.searchsorted(negative, positive).mean() / len(negative))


@pytest.mark.slow
def test_training_on_one_film_helps_in_another(tmp_path: Path) -> None:
    """The animals, which no embedder knows, are often occluded by a wall, and tracks are lost there."""
    coats = make_coats(6, seed=1)
    train_film, test_film = (make_film(tmp_path, f"film{seed}", coats, seconds=15, seed=seed) for seed in (0, 5))
    settings = EmbedderTrainingConfig.model_validate(
        {"folder": str(tmp_path / "run"), "size": (32, 48), "steps": 40, "warmup_steps": 4, "validate_every": 40,
         "identities_per_batch": 6, "workers": 0, "ema_decay": 0.8, "val_fraction": 0}
    )  # fmt: skip
    settings = extract_training_crops(
        settings, [str(train_film.video)], [str(train_film.detections)], SELF_SUPERVISED_TRACKING, resume=False
    )
    assert (settings.pretrained, settings.categories, settings.tracklets) == ("builtin", ("creature",), True)
    trained = str(train_embedder(settings))
    builtin_auc, trained_auc = (verification_auc(test_film, name) for name in ("builtin", trained))
    motion_idf1, trained_idf1 = (tracking_metrics(test_film, name)["IDF1"] for name in ("none", trained))
    # Measured: 0.974, 0.998; 26.7, 29.7. Most tracks are lost because the animals leave in an unexpected direction.
    assert trained_auc > builtin_auc + 0.01, (builtin_auc, trained_auc)
    assert trained_idf1 > motion_idf1 + 1, (motion_idf1, trained_idf1)
