"""Tests the evaluation of embedders: metrics computed by hand or by definition, the report, the command."""

import json
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from paths import SHARED
from tracker.cli.app import main
from tracker.config import Config, DetectorNetwork, EmbedderEvalConfig, TrackerConfig
from tracker.data import ReIDDataset, read_reid_dataset
from tracker.data.reid_crops import FULL_IMAGE, ReIDSample
from tracker.errors import InputError
from tracker.evaluation.drawing import BACKGROUND
from tracker.evaluation.reid import embed_crops, evaluate_embeddings, write_report
from tracker.evaluation.reid.baselines import open_embedder
from tracker.evaluation.reid.inference import read_query_gallery
from tracker.evaluation.reid.retrieval import Retrieval
from tracker.evaluation.reid.separation import VerificationCurve
from tracker.evaluation.reid.temporal_gap import ObjectEmbeddings, read_labeled_boxes, temporal_retrieval
from tracker.models.detection import build_detector
from tracker.models.model_file import ModelInfo, save_model
from tracker.pipeline.analyzer import FrameAnalyzer
from tracker.pipeline.frame_analysis import FrameAnalysis
from tracker.pipeline.run_record import config_to_json
from tracker.pipeline.tracking_run import TrackingRun
from tracker.structures.types import Frame
from tracker.video import BlankSource

COLORS = {1: (200, 30, 30), 2: (30, 180, 40), 3: (40, 60, 210)}


def write_crop(path: Path, color: tuple[int, int, int], seed: int) -> None:
    noise = np.random.default_rng(seed).integers(-20, 20, (32, 16, 3))
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray((np.array(color) + noise).clip(0, 255).astype(np.uint8)).save(path)


def write_crops(folder: Path, per_camera: int = 2, identities: int = 3) -> Path:
    """Writes crops of people in clothes of one color, from two cameras, named as in Market-1501."""
    for identity in range(1, identities + 1):
        for camera in (1, 2):
            for shot in range(per_camera):
                write_crop(
                    folder / f"{identity:04}_c{camera}_{shot:02}.png",
                    COLORS[identity],
                    100 * identity + 10 * camera + shot,
                )
    return folder


def crops_of(ids: list[int], cameras: list[int], folder: Path) -> ReIDDataset:
    """Makes crops whose files differ in content and in size."""
    files = [folder / f"{n}.png" for n in range(len(ids))]
    for n, file in enumerate(files):
        file.write_bytes(bytes([n]) * (n + 1))
    columns = zip(files, ids, cameras, strict=True)
    return ReIDDataset.from_samples(
        [ReIDSample(file, FULL_IMAGE, f"{id_:06}", camera) for file, id_, camera in columns]
    )


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


# --- retrieval ---


def test_metrics_computed_by_hand() -> None:
    """Retrieval of three queries.

    The first query's ranking is -, a, b, a, b: - is ignored, and a is its identity. Its matches have ranks 1 and 3: AP
    is (1/1 + 2/3) / 2, INP 2/3. The second query's ranking is b, a, b, b, -: a match at rank 2, AP 1/2, INP 1/2. The
    third has no valid match.
    """
    distances = np.array([[0.5, 0.2, 0.3, 0.1, 0.4], [0.2, 0.3, 0.1, 0.5, 0.4], [0.1, 0.2, 0.3, 0.4, 0.5]], np.float32)
    same = np.array([[0, 1, 0, 1, 1], [0, 0, 0, 1, 0], [1, 0, 0, 0, 0]], bool)
    same[1] = [1, 0, 0, 1, 0]
    valid = np.array([[1, 1, 1, 0, 1], [1, 1, 1, 0, 1], [0, 1, 1, 1, 1]], bool)
    retrieval = Retrieval.from_distances(distances, same, valid)
    assert retrieval.valid_queries.tolist() == [0, 1]
    metrics = retrieval.metrics()
    assert metrics["rank-1"] == 0.5
    assert metrics["rank-5"] == 1
    assert metrics["mAP"] == pytest.approx(((1 + 2 / 3) / 2 + 1 / 2) / 2)
    assert metrics["mINP"] == pytest.approx((2 / 3 + 1 / 2) / 2)
    np.testing.assert_allclose(retrieval.cmc(3), [0.5, 1, 1])


def market_metrics(embeddings: np.ndarray, ids: list[int], cameras: list[int]) -> dict[str, float]:
    """Computes the metrics of Market-1501 query by query, as the papers define them."""
    first_ranks, precisions, penalties = [], [], []
    for query in range(len(ids)):
        gallery = [
            candidate
            for candidate in range(len(ids))
            if candidate != query and not (ids[candidate] == ids[query] and cameras[candidate] == cameras[query])
        ]
        gallery.sort(key=lambda candidate: 1 - float(embeddings[query] @ embeddings[candidate]))
        match_ranks = [rank for rank, candidate in enumerate(gallery, 1) if ids[candidate] == ids[query]]
        if match_ranks:
            first_ranks.append(match_ranks[0])
            precisions.append(np.mean([n / rank for n, rank in enumerate(match_ranks, 1)]))
            penalties.append(len(match_ranks) / match_ranks[-1])
    cmc = {f"rank-{k}": float(np.mean(np.array(first_ranks) <= k)) for k in (1, 5, 10)}
    return {**cmc, "mAP": float(np.mean(precisions)), "mINP": float(np.mean(penalties))}


@pytest.mark.parametrize("with_cameras", [True, False])
def test_all_crops_as_queries_by_the_rules_of_market1501(tmp_path: Path, with_cameras: bool) -> None:
    rng = np.random.default_rng(1)
    ids, cameras = rng.integers(0, 6, 40).tolist(), rng.integers(1, 4, 40).tolist()
    embeddings = unit(rng.normal(size=(40, 5)) + 1.2 * np.eye(6, 5)[ids])
    results = evaluate_embeddings(embeddings, crops_of(ids, cameras if with_cameras else [-1] * 40, tmp_path))
    expected = market_metrics(embeddings, ids, cameras if with_cameras else list(range(40)))
    for name, value in expected.items():
        assert results.metrics[name] == pytest.approx(value), name
    assert ("mAP/other cameras" in results.metrics) == with_cameras


def test_copies_of_a_query_are_ignored(tmp_path: Path) -> None:
    """A copy with another name and another camera would always be the nearest crop."""
    embeddings = unit(np.array([[1, 0], [1, 0], [0.2, 1], [0.9, 0.3]]))
    crops = crops_of([1, 1, 1, 2], [1, 2, 2, 2], tmp_path)
    assert evaluate_embeddings(embeddings, crops).retrieval.num_matches.tolist() == [2, 1, 1, 0]
    crops.files[1].write_bytes(crops.files[0].read_bytes())
    results = evaluate_embeddings(embeddings, crops)
    assert results.retrieval.num_matches.tolist() == [1, 0, 1, 0]
    assert results.retrieval.first_rank[0] == 2


def test_separate_queries_are_not_in_the_gallery(tmp_path: Path) -> None:
    write_crops(tmp_path / "gallery")
    write_crops(tmp_path / "all", per_camera=3)
    for file in (tmp_path / "all").glob("*_c1_02.png"):
        (tmp_path / "query").mkdir(exist_ok=True)
        file.rename(tmp_path / "query" / file.name)
    crops, queries = read_query_gallery([tmp_path / "gallery"], tmp_path / "query")
    assert queries == 3
    assert len(crops) == 3 + 12
    with open_embedder(EmbedderEvalConfig(weights="hsv", threads=1)) as embedder:
        results = evaluate_embeddings(embed_crops(embedder, crops), crops, queries)
    assert results.retrieval.num_matches.tolist() == [2, 2, 2]
    assert results.metrics["rank-1"] == 1
    assert results.distances.same.sum() == 3 * 4


@pytest.mark.parametrize(("ids", "cameras"), [([1, 2, 3], [1, 2, 1]), ([1, 1, 2], [1, 1, 1]), ([1, 1, 1], [1, 2, 3])])
def test_nothing_to_evaluate(tmp_path: Path, ids: list[int], cameras: list[int]) -> None:
    with pytest.raises(InputError, match="nothing can be evaluated"):
        evaluate_embeddings(np.eye(3, dtype=np.float32), crops_of(ids, cameras, tmp_path))


# --- distances ---


def verification_curve(same: list[float], different: list[float]) -> VerificationCurve:
    distances = np.array([[*same, *different]], np.float32)
    is_same = np.array([[True] * len(same) + [False] * len(different)])
    return VerificationCurve.from_distances(distances, is_same, np.ones_like(is_same))


def test_overlapping_distances() -> None:
    """9 of the 12 pairs of a same and a different distance are in order, and one is equal.

    Up to 0.3 there are three of four same distances and no different one, the largest difference; the next one is 0.5.
    """
    curve = verification_curve([0.1, 0.2, 0.3, 0.6], [0.5, 0.6, 0.9])
    assert curve.auc == pytest.approx((9 + 0.5 + 1) / 12)
    assert curve.max_distance == pytest.approx(0.4)
    distance, rate = verification_curve([0.1, 0.2, 0.3, 0.6], [0.25, 0.7, 0.8, 0.9]).equal_error_rate
    assert 0.3 <= distance < 0.6
    assert rate == 0.25


def test_max_distance_is_where_isotonic_calibration_is_even() -> None:
    from scipy.optimize import isotonic_regression

    rng = np.random.default_rng(0)
    same, different = rng.normal(0.3, 0.1, 400).clip(0), rng.normal(0.6, 0.15, 1000).clip(0)
    distances = np.round(np.concatenate([same, different]), 3)
    order = np.argsort(distances, kind="stable")
    weights = np.r_[np.full(400, 1 / 400), np.full(1000, 1 / 1000)][order]
    probability = isotonic_regression(np.r_[np.ones(400), np.zeros(1000)][order], weights=weights, increasing=False).x
    even = distances[order][np.flatnonzero(probability > 0.5)[-1] : np.flatnonzero(probability > 0.5)[-1] + 2]
    assert even[0] - 0.002 <= verification_curve(same.tolist(), different.tolist()).max_distance <= even[1] + 0.002


def test_track_is_the_mean_of_the_other_crops(tmp_path: Path) -> None:
    """(1, 0) is compared with (0.6, 0.8), the direction of the two others of its identity.

    Each of these is compared with the mean of (1, 0) and the other, distance 1 - 1.6 / 1.789. The crops of identity 2
    are equal, and 1 - 1.6 / 2.72 away from the mean of identity 1, (2.2, 1.6) / 3.
    """
    embeddings = np.array([[1, 0], [0.6, 0.8], [0.6, 0.8], [0, 1], [0, 1]], np.float32)
    tracks = evaluate_embeddings(embeddings, crops_of([1, 1, 1, 2, 2], [-1] * 5, tmp_path)).track_distances
    assert {int(n): int(tracks.same[n]) for n in np.flatnonzero(tracks.same)} == {400: 1, 106: 2, 0: 2}
    assert {int(n): int(tracks.different[n]) for n in np.flatnonzero(tracks.different)} == {1000: 1, 200: 2, 412: 2}


# --- over time ---


def test_temporal_retrieval_computed_by_hand() -> None:
    """Objects 1 and 2 are equal in two frames, and swap embeddings in the third; 3 has that of 1 there."""
    a, b = np.eye(2, dtype=np.float32)
    ids = {1: np.array([1, 2]), 2: np.array([1, 2]), 3: np.array([1, 2, 3]), 5: np.array([4])}
    embeddings = {1: np.stack([a, b]), 2: np.stack([a, b]), 3: np.stack([b, a, b]), 5: np.stack([a])}
    objects = ObjectEmbeddings(2, ids, embeddings)
    assert temporal_retrieval(objects, 1)["rank-1"] == 0.5  # correct from frame 1 to 2, wrong from 2 to 3
    assert temporal_retrieval(objects, 2)["AUC"] == pytest.approx(
        3 / 14
    )  # same: 1 1; different: 0 1 0 0, and 1 0 1 to 4
    with pytest.raises(InputError, match="no object occurs again after 3 frames"):
        temporal_retrieval(objects, 3)


def test_ground_truth_boxes_and_matched_detections(tmp_path: Path) -> None:
    for name, rows in {
        "gt/gt.txt": ["1,7,11,11,20,40,1", "1,8,101,11,20,40,1", "2,7,13,11,20,40,1", "2,9,1,1,5,5,0"],
        "det/det.txt": [
            "1,-1,102,12,20,40,0.9",
            "1,-1,301,11,20,40,0.9",
            "1,-1,11,11,20,80,0.9",
            "2,-1,13,11,20,39,0.9",
        ],
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("\n".join(rows) + "\n")
    assert read_labeled_boxes(tmp_path, "")[:, :2].tolist() == [[1, 7], [1, 8], [2, 7]]
    table = read_labeled_boxes(tmp_path, "det.txt")
    by_id = {(int(row[0]), int(row[1])): row[2:6].tolist() for row in table}
    assert by_id == {(1, 8): [101, 11, 20, 40], (1, 7): [10, 10, 20, 80], (2, 7): [12, 10, 20, 39]}


# --- the report and the command ---


@pytest.fixture(scope="module")
def report_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("matplotlib", reason="the extra [eval] is not installed")
    folder = tmp_path_factory.mktemp("reid")
    crops = read_reid_dataset([write_crops(folder / "crops")])
    embeddings = unit(np.eye(3)[crops.ids] + np.random.default_rng(0).normal(0, 0.3, (len(crops), 3)))
    write_report(folder / "report", embeddings, crops)
    return folder / "report"


def test_report(report_folder: Path) -> None:
    content = json.loads((report_folder / "report.json").read_text())
    assert (content["crops"], content["identities"], content["queries"]) == (12, 3, 12)
    assert 0 < content["metrics"]["max distance"] < 1
    assert sum(content["distances"]["same"]) == 3 * 4 * 3
    for name in ("cmc.png", "distances.png", "best.jpg", "worst.jpg", "map.png"):
        image = cv2.imread(str(report_folder / name))
        assert image is not None, name
        assert image.std() > 5, name
    assert "mINP" in (report_folder / "report.md").read_text()


def test_ranked_list_has_colored_borders(report_folder: Path) -> None:
    """A query has ten places, of which two are empty: the two other crops of its camera are ignored."""
    sheet = cv2.imread(str(report_folder / "best.jpg"))[:, :, ::-1].astype(int)
    from tracker.evaluation.reid import galleries as g

    top, step = g.HEADER + 1, g.WIDTH + g.GAP
    borders = [sheet[top, g.GAP + g.MARGIN + (1 + column) * step + g.WIDTH // 2] for column in range(g.GALLERY_SHOWN)]
    nearest_colors = [
        min((g.SAME_COLOR, g.DIFFERENT_COLOR, BACKGROUND), key=lambda color: np.abs(np.array(color) - border).sum())
        for border in borders
    ]
    assert nearest_colors == [g.SAME_COLOR] * 2 + [g.DIFFERENT_COLOR] * 8


def test_command_prints_and_writes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_crops(tmp_path / "crops")
    file = tmp_path / "figures.json"
    command = ["eval", "embedder", str(folder), "--weights", "hsv", "--threads", "1", "--json", str(file)]
    with pytest.raises(SystemExit) as ended:
        main(command)
    assert ended.value.code == 0
    printed = capsys.readouterr().out
    assert "other cameras only" in printed
    assert "ms a crop" in printed
    assert json.loads(file.read_text())["metrics"]["rank-1"] == 1  # clothes of three colors
    with pytest.raises(SystemExit) as ended:
        main(command)
    assert ended.value.code == 2
    assert "--overwrite" in capsys.readouterr().err


@pytest.fixture
def sequence(tmp_path: Path) -> Path:
    """A sequence of five frames, in which three people in clothes of one color move to the right."""
    folder, lines = tmp_path / "street", []
    for frame in range(1, 6):
        image = np.full((60, 90, 3), 128, np.uint8)
        for identity, color in COLORS.items():
            left = 30 * (identity - 1) + frame
            image[10:50, left : left + 20] = color
            lines.append(f"{frame},{identity},{left + 1},11,20,40,1,-1,-1,-1")
        (folder / "img1").mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / "img1" / f"{frame:06}.png")
    (folder / "gt").mkdir()
    (folder / "gt" / "gt.txt").write_text("\n".join(lines) + "\n")
    return folder


def write_detector(path: Path, **network: object) -> Path:
    torch.manual_seed(0)  # other weights may confuse two objects
    architecture = DetectorNetwork.model_validate(network)
    state = build_detector(architecture, 1).state_dict()
    info = ModelInfo(
        task="detection", architecture=architecture.architecture, categories=("person",), size=(0, 0), license="",
        provenance="drawn", network=architecture.model_dump(mode="json"),
    )  # fmt: skip
    save_model(path, {key: value.numpy() for key, value in state.items()}, info)
    return path


def test_command_with_temporal_gap(sequence: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Evaluates a color histogram, the built-in detector, and another detector."""
    narrow = {"backbone": "resnet18", "fpn_channels": 8, "head_width": 8, "min_size": 64, "max_size": 128}
    other = write_detector(tmp_path / "other.safetensors", architecture="fasterrcnn_fpn", **narrow)
    metrics = {}
    for weights in ("hsv", "roi", str(other)):
        file = tmp_path / f"{len(metrics)}.json"
        with pytest.raises(SystemExit) as ended:
            main(["eval", "embedder", str(sequence), "--gap", "1,3", "--weights", weights, "--json", str(file)])
        assert ended.value.code == 0
        assert "AUC of tracks" in capsys.readouterr().out
        metrics[weights] = json.loads(file.read_text())["street"]
        assert metrics[weights]["1"]["AUC"] == pytest.approx(1)
    assert metrics["hsv"]["3"]["AUC"] == 1
    assert len({by_gap["3"]["max distance"] for by_gap in metrics.values()}) == 3


def test_detector_needs_whole_images(sequence: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one_stage = write_detector(tmp_path / "ssd.safetensors", architecture="ssdlite320_mobilenet_v3_large")
    for flags, message in (
        (["--weights", "roi"], "a detector needs whole images, not crops: give --gap"),
        (["--gap", "1", "--weights", str(one_stage)], "ssdlite320_mobilenet_v3_large has no RoI head"),
    ):
        with pytest.raises(SystemExit) as ended:
            main(["eval", "embedder", str(sequence), *flags])
        assert ended.value.code == 2
        assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--gap", "0"], "whole numbers from 1"),
        (["--gap", "3"], "gt/gt.txt"),
        (["--det", "det.txt"], "--gap"),
        (["--weights", "bultin"], "did you mean"),
        (["--report", "crops/0001_c1_00.png"], "is a file"),
    ],
)
def test_bad_input_gets_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], flags: list[str], message: str
) -> None:
    write_crops(tmp_path / "crops", per_camera=1)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main(["eval", "embedder", "crops", *flags])
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


def test_box_outside_of_its_image(tmp_path: Path) -> None:
    write_crop(tmp_path / "a.png", COLORS[1], 0)
    crops = ReIDDataset.from_samples([ReIDSample(tmp_path / "a.png", (20, 0, 30, 10), "a", -1)])
    with (
        open_embedder(EmbedderEvalConfig(weights="hsv", threads=1)) as embedder,
        pytest.raises(InputError, match="16 x 32"),
    ):
        embed_crops(embedder, crops)


# --- the tracker's neutral distance ---


def test_neutral_distance_of_settings_or_file_or_default() -> None:
    assert TrackerConfig().neutral_distance == 0.35
    assert TrackerConfig().with_neutral_distance(0.6).neutral_distance == 0.6
    assert TrackerConfig().with_neutral_distance(0.0).neutral_distance == 0.35
    assert TrackerConfig(neutral_cosine_distance=0.5).with_neutral_distance(0.6).neutral_distance == 0.5


def test_neutral_distance_of_a_run_is_recorded() -> None:
    with open_embedder(EmbedderEvalConfig(weights="hsv", threads=1)) as embedder:
        embedder.info = embedder.info.model_copy(update={"max_distance": 0.6})
        for config, expected in (
            (Config(), 0.6),
            (Config(tracker=TrackerConfig(neutral_cosine_distance=0.2)), 0.2),
        ):
            analyzer = NoAnalyzer(config)
            analyzer.embedder = embedder
            source = BlankSource("a", "a", config.source, lambda: iter(()), 0, 0.0, (64, 48), Fraction(25))
            run = TrackingRun(source, analyzer)
            assert run.config.tracker.neutral_distance == expected
            assert config_to_json(run.config)["tracker"]["neutral_cosine_distance"] == expected


class NoAnalyzer(FrameAnalyzer):
    """Is never run."""

    categories = ("person",)

    def analyze(self, frames: list[Frame]) -> list[FrameAnalysis]:
        raise NotImplementedError

    def describe(self) -> dict[str, object]:
        return {}

    def close(self) -> None:
        pass


# --- the built-in embedder ---


def test_builtin_embedder() -> None:
    folder = SHARED / "data" / "reid"
    if not folder.is_dir():
        pytest.skip("the Re-ID images of ../shared are not here")
    crops = read_reid_dataset([folder / "query", folder / "bounding_box_test"])
    with open_embedder(EmbedderEvalConfig()) as embedder:
        results = evaluate_embeddings(embed_crops(embedder, crops), crops)
    assert len(results.retrieval.valid_queries) == 192
    assert results.metrics["rank-1/other cameras"] >= 0.85
    assert results.metrics["mAP/other cameras"] >= 0.75
    assert results.metrics["AUC"] >= 0.95
