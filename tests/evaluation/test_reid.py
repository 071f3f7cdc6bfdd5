"""Embedders measured: figures worked by hand, and against plain definitions; the report; the command; the gate."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from paths import SHARED
from tracker.cli.app import main
from tracker.config import Config, DetectorNetwork, EmbedderEvalConfig, TrackerConfig
from tracker.data import ReIDDataset, read_crops
from tracker.data.reid_crops import WHOLE, ReIDSample
from tracker.errors import InputError
from tracker.evaluation.drawing import GROUND
from tracker.evaluation.reid import embed_crops, measured, write_report
from tracker.evaluation.reid.baselines import open_embedder
from tracker.evaluation.reid.inference import read_search
from tracker.evaluation.reid.retrieval import Retrieval
from tracker.evaluation.reid.separation import VerificationCurve
from tracker.evaluation.reid.temporal_gap import Seen, known_objects, temporal_retrieval
from tracker.models.detection import build_detector
from tracker.models.model_file import ModelInfo, save_model
from tracker.pipeline.analyzer import Stages
from tracker.pipeline.frame_sampler import Perceived
from tracker.pipeline.run_record import plain
from tracker.structures.types import Frame

COLOURS = {1: (200, 30, 30), 2: (30, 180, 40), 3: (40, 60, 210)}


def draw(path: Path, colour: tuple[int, int, int], seed: int) -> None:
    grain = np.random.default_rng(seed).integers(-20, 20, (32, 16, 3))
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray((np.array(colour) + grain).clip(0, 255).astype(np.uint8)).save(path)


def market(folder: Path, per_camera: int = 2, identities: int = 3) -> Path:
    """Crops of people in plain clothes, as two cameras see them."""
    for number in range(1, identities + 1):
        for camera in (1, 2):
            for shot in range(per_camera):
                draw(
                    folder / f"{number:04}_c{camera}_{shot:02}.png", COLOURS[number], 100 * number + 10 * camera + shot
                )
    return folder


def crops_of(ids: list[int], cameras: list[int], folder: Path) -> ReIDDataset:
    """Crops whose files differ in content and in size."""
    files = [folder / f"{n}.png" for n in range(len(ids))]
    for n, file in enumerate(files):
        file.write_bytes(bytes([n]) * (n + 1))
    return ReIDDataset.of([ReIDSample(f, WHOLE, f"{i:06}", c) for f, i, c in zip(files, ids, cameras, strict=True)])


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


# --- retrieval ---


def test_figures_worked_by_hand() -> None:
    """The first query's gallery in order of nearness is -, a, b, a, b; - does not count, and a is whom it shows.

    Matches at ranks 1 and 3: AP (1/1 + 2/3) / 2, INP 2/3. The second query's is b, a, b, b, -: matches at rank 2 alone,
    AP 1/2, INP 1/2. The third has no match that counts.
    """
    distances = np.array([[0.5, 0.2, 0.3, 0.1, 0.4], [0.2, 0.3, 0.1, 0.5, 0.4], [0.1, 0.2, 0.3, 0.4, 0.5]], np.float32)
    same = np.array([[0, 1, 0, 1, 1], [0, 0, 0, 1, 0], [1, 0, 0, 0, 0]], bool)
    same[1] = [1, 0, 0, 1, 0]
    counted = np.array([[1, 1, 1, 0, 1], [1, 1, 1, 0, 1], [0, 1, 1, 1, 1]], bool)
    found = Retrieval.of(distances, same, counted)
    assert found.counted.tolist() == [0, 1]
    figures = found.figures()
    assert figures["rank-1"] == 0.5
    assert figures["rank-5"] == 1
    assert figures["mAP"] == pytest.approx(((1 + 2 / 3) / 2 + 1 / 2) / 2)
    assert figures["mINP"] == pytest.approx((2 / 3 + 1 / 2) / 2)
    np.testing.assert_allclose(found.cmc(3), [0.5, 1, 1])


def plainly(embeddings: np.ndarray, ids: list[int], cameras: list[int]) -> dict[str, float]:
    """Market-1501's figures, query by query, as the papers define them."""
    first, precision, penalty = [], [], []
    for q in range(len(ids)):
        rest = [g for g in range(len(ids)) if g != q and not (ids[g] == ids[q] and cameras[g] == cameras[q])]
        rest.sort(key=lambda g: 1 - float(embeddings[q] @ embeddings[g]))
        hits = [rank for rank, g in enumerate(rest, 1) if ids[g] == ids[q]]
        if hits:
            first.append(hits[0])
            precision.append(np.mean([n / rank for n, rank in enumerate(hits, 1)]))
            penalty.append(len(hits) / hits[-1])
    cmc = {f"rank-{k}": float(np.mean(np.array(first) <= k)) for k in (1, 5, 10)}
    return {**cmc, "mAP": float(np.mean(precision)), "mINP": float(np.mean(penalty))}


@pytest.mark.parametrize("known", [True, False])
def test_all_crops_as_queries_by_the_rules_of_market(tmp_path: Path, known: bool) -> None:
    rng = np.random.default_rng(1)
    ids, cameras = rng.integers(0, 6, 40).tolist(), rng.integers(1, 4, 40).tolist()
    rows = unit(rng.normal(size=(40, 5)) + 1.2 * np.eye(6, 5)[ids])
    scores = measured(rows, crops_of(ids, cameras if known else [-1] * 40, tmp_path))
    expected = plainly(rows, ids, cameras if known else list(range(40)))
    for name, value in expected.items():
        assert scores.figures[name] == pytest.approx(value), name
    assert ("mAP/other cameras" in scores.figures) == known


def test_copies_of_a_query_are_not_found(tmp_path: Path) -> None:
    """Under another name, by another camera: a copy would always be found first."""
    rows = unit(np.array([[1, 0], [1, 0], [0.2, 1], [0.9, 0.3]]))
    crops = crops_of([1, 1, 1, 2], [1, 2, 2, 2], tmp_path)
    assert measured(rows, crops).retrieval.matches.tolist() == [2, 1, 1, 0]
    crops.files[1].write_bytes(crops.files[0].read_bytes())
    apart = measured(rows, crops)
    assert apart.retrieval.matches.tolist() == [1, 0, 1, 0]
    assert apart.retrieval.first[0] == 2


def test_queries_of_their_own_do_not_stand_in_the_gallery(tmp_path: Path) -> None:
    market(tmp_path / "gallery")
    market(tmp_path / "all", per_camera=3)
    for file in (tmp_path / "all").glob("*_c1_02.png"):
        (tmp_path / "query").mkdir(exist_ok=True)
        file.rename(tmp_path / "query" / file.name)
    crops, queries = read_search([tmp_path / "gallery"], tmp_path / "query")
    assert queries == 3
    assert len(crops) == 3 + 12
    with open_embedder(EmbedderEvalConfig(weights="hsv", threads=1)) as embedder:
        scores = measured(embed_crops(embedder, crops), crops, queries)
    assert scores.retrieval.matches.tolist() == [2, 2, 2]
    assert scores.figures["rank-1"] == 1
    assert scores.distances.same.sum() == 3 * 4


@pytest.mark.parametrize(("ids", "cameras"), [([1, 2, 3], [1, 2, 1]), ([1, 1, 2], [1, 1, 1]), ([1, 1, 1], [1, 2, 3])])
def test_nothing_to_score(tmp_path: Path, ids: list[int], cameras: list[int]) -> None:
    with pytest.raises(InputError, match="nothing can be scored"):
        measured(np.eye(3, dtype=np.float32), crops_of(ids, cameras, tmp_path))


# --- distances ---


def separation(same: list[float], different: list[float]) -> VerificationCurve:
    rows = np.array([[*same, *different]], np.float32)
    which = np.array([[True] * len(same) + [False] * len(different)])
    return VerificationCurve.of(rows, which, np.ones_like(which))


def test_distances_that_overlap() -> None:
    """Of the 12 pairs of a same and a different one 9 are in order and one is equal. Up to 0.3 are all of the same but
    one, and none of the others: their shares differ by 3/4 there, and nowhere more; the next distance is 0.5."""
    some = separation([0.1, 0.2, 0.3, 0.6], [0.5, 0.6, 0.9])
    assert some.auc == pytest.approx((9 + 0.5 + 1) / 12)
    assert some.max_distance == pytest.approx(0.4)
    distance, error = separation([0.1, 0.2, 0.3, 0.6], [0.25, 0.7, 0.8, 0.9]).equal_error
    assert 0.3 <= distance < 0.6
    assert error == 0.25


def test_the_gate_is_where_calibration_by_isotonic_regression_says_even() -> None:
    from scipy.optimize import isotonic_regression

    rng = np.random.default_rng(0)
    same, different = rng.normal(0.3, 0.1, 400).clip(0), rng.normal(0.6, 0.15, 1000).clip(0)
    rows = np.round(np.concatenate([same, different]), 3)
    order = np.argsort(rows, kind="stable")
    weights = np.r_[np.full(400, 1 / 400), np.full(1000, 1 / 1000)][order]
    chance = isotonic_regression(np.r_[np.ones(400), np.zeros(1000)][order], weights=weights, increasing=False).x
    even = rows[order][np.flatnonzero(chance > 0.5)[-1] : np.flatnonzero(chance > 0.5)[-1] + 2]
    assert even[0] - 0.002 <= separation(same.tolist(), different.tolist()).max_distance <= even[1] + 0.002


def test_a_track_is_the_mean_of_the_other_crops(tmp_path: Path) -> None:
    """(1, 0) is compared with (0.6, 0.8), the direction of its like; either of these with the mean of (1, 0) and the
    other, 1 - 1.6 / 1.789 away; b's crops are equal, and 1 - 1.6 / 2.72 away from the mean of a, (2.2, 1.6) / 3."""
    rows = np.array([[1, 0], [0.6, 0.8], [0.6, 0.8], [0, 1], [0, 1]], np.float32)
    tracks = measured(rows, crops_of([1, 1, 1, 2, 2], [-1] * 5, tmp_path)).track_distances
    assert {int(n): int(tracks.same[n]) for n in np.flatnonzero(tracks.same)} == {400: 1, 106: 2, 0: 2}
    assert {int(n): int(tracks.different[n]) for n in np.flatnonzero(tracks.different)} == {1000: 1, 200: 2, 412: 2}


# --- over time ---


def test_after_a_gap_by_hand() -> None:
    """1 and 2 look the same in two frames, and in the third each as the other did; 3 looks as 1 does there."""
    a, b = np.eye(2, dtype=np.float32)
    ids = {1: np.array([1, 2]), 2: np.array([1, 2]), 3: np.array([1, 2, 3]), 5: np.array([4])}
    looks = {1: np.stack([a, b]), 2: np.stack([a, b]), 3: np.stack([b, a, b]), 5: np.stack([a])}
    seen = Seen(2, ids, looks)
    assert temporal_retrieval(seen, 1)["rank-1"] == 0.5  # right from frame 1 to 2, wrong from 2 to 3
    assert temporal_retrieval(seen, 2)["AUC"] == pytest.approx(3 / 14)  # same: 1 1; different: 0 1 0 0, and 1 0 1 to 4
    with pytest.raises(InputError, match="nobody is seen again after 3 frames"):
        temporal_retrieval(seen, 3)


def test_objects_of_the_truth_and_detections_that_show_them(tmp_path: Path) -> None:
    for name, rows in {
        "gt/gt.txt": ["1,7,10,10,20,40,1", "1,8,100,10,20,40,1", "2,7,12,10,20,40,1", "2,9,0,0,5,5,0"],
        "det/det.txt": [
            "1,-1,101,11,20,40,0.9",
            "1,-1,300,10,20,40,0.9",
            "1,-1,10,10,20,80,0.9",
            "2,-1,12,10,20,39,0.9",
        ],
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("\n".join(rows) + "\n")
    assert known_objects(tmp_path, "")[:, :2].tolist() == [[1, 7], [1, 8], [2, 7]]
    found = known_objects(tmp_path, "det.txt")
    by_id = {(int(row[0]), int(row[1])): row[2:6].tolist() for row in found}
    assert by_id == {(1, 8): [101, 11, 20, 40], (1, 7): [10, 10, 20, 80], (2, 7): [12, 10, 20, 39]}


# --- the report and the command ---


@pytest.fixture(scope="module")
def reported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("matplotlib", reason="the extra [eval] is not installed")
    folder = tmp_path_factory.mktemp("likeness")
    crops = read_crops([market(folder / "crops")])
    rows = unit(np.eye(3)[crops.ids] + np.random.default_rng(0).normal(0, 0.3, (len(crops), 3)))
    write_report(folder / "report", rows, crops)
    return folder / "report"


def test_the_report(reported: Path) -> None:
    content = json.loads((reported / "report.json").read_text())
    assert (content["crops"], content["individuals"], content["queries"]) == (12, 3, 12)
    assert 0 < content["figures"]["max distance"] < 1
    assert sum(content["distances"]["same"]) == 3 * 4 * 3
    for name in ("cmc.png", "distances.png", "best.jpg", "worst.jpg", "map.png"):
        picture = cv2.imread(str(reported / name))
        assert picture is not None, name
        assert picture.std() > 5, name
    assert "mINP" in (reported / "report.md").read_text()


def test_a_gallery_shows_its_query_and_frames_what_was_found(reported: Path) -> None:
    """Three rows of a query and ten places, of which two are empty: the two other crops of its camera do not count."""
    sheet = cv2.imread(str(reported / "best.jpg"))[:, :, ::-1].astype(int)
    from tracker.evaluation.reid import galleries as g

    top, step = g.HEADER + 1, g.WIDTH + g.GAP
    frames = [sheet[top, g.GAP + g.MARGIN + (1 + n) * step + g.WIDTH // 2] for n in range(g.FOUND)]
    near = [min((g.RIGHT, g.WRONG, GROUND), key=lambda c: np.abs(np.array(c) - f).sum()) for f in frames]
    assert near == [g.RIGHT] * 2 + [g.WRONG] * 8


def test_the_command_prints_and_writes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = market(tmp_path / "crops")
    file = tmp_path / "figures.json"
    command = ["eval", "embedder", str(folder), "--weights", "hsv", "--threads", "1", "--json", str(file)]
    with pytest.raises(SystemExit) as ended:
        main(command)
    assert ended.value.code == 0
    printed = capsys.readouterr().out
    assert "other cameras only" in printed
    assert "ms a crop" in printed
    assert json.loads(file.read_text())["figures"]["rank-1"] == 1  # plain clothes of three colours
    with pytest.raises(SystemExit) as ended:
        main(command)
    assert ended.value.code == 2
    assert "--overwrite" in capsys.readouterr().err


@pytest.fixture
def street(tmp_path: Path) -> Path:
    """A sequence of five frames, in which three people in plain clothes go to the right."""
    folder, rows = tmp_path / "street", []
    for frame in range(1, 6):
        picture = np.full((60, 90, 3), 128, np.uint8)
        for number, colour in COLOURS.items():
            left = 30 * (number - 1) + frame
            picture[10:50, left : left + 20] = colour
            rows.append(f"{frame},{number},{left},10,20,40,1,-1,-1,-1")
        (folder / "img1").mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(folder / "img1" / f"{frame:06}.png")
    (folder / "gt").mkdir()
    (folder / "gt" / "gt.txt").write_text("\n".join(rows) + "\n")
    return folder


def write_detector(path: Path, **network: object) -> Path:
    made_of = DetectorNetwork.model_validate(network)
    state = build_detector(made_of, 1).state_dict()
    info = ModelInfo(
        task="detection", architecture=made_of.architecture, categories=("person",), size=(0, 0), license="",
        provenance="drawn", network=made_of.model_dump(mode="json"),
    )  # fmt: skip
    save_model(path, {key: value.numpy() for key, value in state.items()}, info)
    return path


def test_the_command_over_time(street: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With a histogram, and with what the built-in detector and another one see."""
    narrow = {"backbone": "resnet18", "fpn_channels": 8, "head_width": 8, "min_size": 64, "max_size": 128}
    other = write_detector(tmp_path / "other.safetensors", architecture="fasterrcnn_fpn", **narrow)
    figures = {}
    for weights in ("hsv", "roi", str(other)):
        file = tmp_path / f"{len(figures)}.json"
        with pytest.raises(SystemExit) as ended:
            main(["eval", "embedder", str(street), "--gap", "1,3", "--weights", weights, "--json", str(file)])
        assert ended.value.code == 0
        assert "AUC of tracks" in capsys.readouterr().out
        figures[weights] = json.loads(file.read_text())["street"]
        assert figures[weights]["1"]["AUC"] == pytest.approx(1)
    assert figures["hsv"]["3"]["AUC"] == 1
    assert len({found["3"]["max distance"] for found in figures.values()}) == 3


def test_a_detector_sees_whole_pictures(street: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one_stage = write_detector(tmp_path / "ssd.safetensors", architecture="ssdlite320_mobilenet_v3_large")
    for flags, words in (
        (["--weights", "roi"], "a detector looks at whole pictures, not at crops: give --gap"),
        (["--gap", "1", "--weights", str(one_stage)], "ssdlite320_mobilenet_v3_large has no RoI head"),
    ):
        with pytest.raises(SystemExit) as ended:
            main(["eval", "embedder", str(street), *flags])
        assert ended.value.code == 2
        assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--gap", "0"], "whole numbers from 1"),
        (["--gap", "3"], "gt/gt.txt"),
        (["--det", "det.txt"], "--gap"),
        (["--weights", "bultin"], "did you mean"),
        (["--report", "crops/0001_c1_00.png"], "is a file"),
    ],
)
def test_bad_input_gets_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], flags: list[str], words: str
) -> None:
    market(tmp_path / "crops", per_camera=1)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main(["eval", "embedder", "crops", *flags])
    assert ended.value.code == 2
    assert words in capsys.readouterr().err


def test_a_box_beyond_its_picture(tmp_path: Path) -> None:
    draw(tmp_path / "a.png", COLOURS[1], 0)
    crops = ReIDDataset.of([ReIDSample(tmp_path / "a.png", (20, 0, 30, 10), "a", -1)])
    with (
        open_embedder(EmbedderEvalConfig(weights="hsv", threads=1)) as embedder,
        pytest.raises(InputError, match="16 x 32"),
    ):
        embed_crops(embedder, crops)


# --- the tracker's gate ---


def test_the_neutral_distance_is_the_settings_else_the_files_else_the_usual() -> None:
    assert TrackerConfig().neutral_distance == 0.35
    assert TrackerConfig().with_neutral_distance(0.6).neutral_distance == 0.6
    assert TrackerConfig().with_neutral_distance(0.0).neutral_distance == 0.35
    assert TrackerConfig(neutral_cosine_distance=0.5).with_neutral_distance(0.6).neutral_distance == 0.5


def test_a_run_takes_the_neutral_distance_out_of_the_file_and_records_it() -> None:
    with open_embedder(EmbedderEvalConfig(weights="hsv", threads=1)) as embedder:
        embedder.info = embedder.info.model_copy(update={"max_distance": 0.6})
        stages = Blind(Config())
        stages.set_embedder(embedder)
        assert stages.config.tracker.neutral_distance == 0.6
        assert plain(stages.config)["tracker"]["neutral_cosine_distance"] == 0.6
        stages = Blind(Config(tracker=TrackerConfig(neutral_cosine_distance=0.2)))
        stages.set_embedder(embedder)
        assert plain(stages.config)["tracker"]["neutral_cosine_distance"] == 0.2


class Blind(Stages):
    """Finds nothing."""

    categories = ("person",)

    def perceive(self, frames: list[Frame]) -> Perceived:
        raise NotImplementedError

    def describe(self) -> dict[str, object]:
        return {}

    def close(self) -> None:
        pass


# --- the built-in embedder ---


def test_the_builtin_finds_people_again() -> None:
    folder = SHARED / "data" / "reid"
    if not folder.is_dir():
        pytest.skip("the Re-ID pictures of ../shared are not here")
    crops = read_crops([folder / "query", folder / "bounding_box_test"])
    with open_embedder(EmbedderEvalConfig()) as embedder:
        scores = measured(embed_crops(embedder, crops), crops)
    assert len(scores.retrieval.counted) == 192
    assert scores.figures["rank-1/other cameras"] >= 0.85
    assert scores.figures["mAP/other cameras"] >= 0.75
    assert scores.figures["AUC"] >= 0.95
