"""Tests `track eval tracker`: metrics against those of trackeval's own program, and images of id switches."""

import csv
import json
import re
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any
from urllib.parse import quote

import cv2
import numpy as np
import pytest

import tracker.evaluation.mot.id_switches.strips
from tracker.cli.app import main
from tracker.config import OutputConfig
from tracker.errors import InputError
from tracker.evaluation import combined_metrics, evaluate_sequences, evaluate_tracks, read_sequences, read_tracks
from tracker.evaluation.mot.alignment import align
from tracker.evaluation.mot.id_switches.events import find_id_switches
from tracker.evaluation.mot.id_switches.panels import GAP, HEADER, HEIGHT, NEW_COLOR, OLD_COLOR, WIDTH
from tracker.evaluation.mot.metrics import METRICS, PERCENTAGES
from tracker.evaluation.mot.plots import _spread_labels, draw_curves
from tracker.evaluation.mot.report import metrics_tables, run_names
from tracker.output import VideoInfo, open_writer
from tracker.structures.boxes import xywh_to_xyxy
from tracker.structures.types import Frame, Tracks
from video_clips import write_clip

pytest.importorskip("trackeval", reason="the extra [eval] is not installed")

MotTable = np.ndarray[Any, np.dtype[np.float64]]
Result = tuple[int, str, str]


def make_scene(seed: int, frames: int = 60, objects: int = 6) -> tuple[MotTable, MotTable]:
    """Makes tables of tracks and ground truth: crossing objects, misses, false positives, swapped ids, ignored rows."""
    rng = np.random.default_rng(seed)
    start, speed = rng.uniform(0, 400, (objects, 2)), rng.normal(0, 4, (objects, 2))
    ids = rng.permutation(objects) + 3
    tracks, gt = [], []
    for frame in range(1, frames + 1):
        if rng.random() < 0.1:
            ids = rng.permutation(ids)
        for n in range(objects):
            box = np.array([*(start[n] + frame * speed[n]), 30 + n, 80 + n])
            if rng.random() < 0.9:
                gt.append([frame, n + 1, *box, rng.random() < 0.9])
            if rng.random() < 0.85:
                tracks.append([frame, ids[n], *(box + rng.normal(0, 4, 4)), 0.9])
        if rng.random() < 0.3:
            tracks.append([frame, 99 + frame // 10, *rng.uniform(10, 90, 4), 0.5])
    return np.array(tracks, float), np.array(gt, float)


def write_mot(path: Path, table: MotTable) -> None:
    """Writes a table, whose pixels count from 0, as a MOTChallenge file, whose pixels count from 1."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = np.add(table, (0, 0, 1, 1, 0, 0, 0))
    path.write_text("".join(",".join(f"{value:.6g}" for value in row) + ",-1,-1,-1\n" for row in rows))


@pytest.fixture
def scenes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, tuple[MotTable, MotTable]]:
    """Three sequences in memory and, in the layouts of the MOTChallenge, in the folders results and gt."""
    monkeypatch.chdir(tmp_path)
    for seed, name in enumerate(("street", "park", "empty")):
        tracks, gt = make_scene(seed)
        write_mot(Path("results", f"{name}.txt"), tracks[: 0 if name == "empty" else None])
        write_mot(Path("gt", name, "gt", "gt.txt"), gt)
    return read_sequences(Path("results"), Path("gt"))


@pytest.fixture
def track(capsys: pytest.CaptureFixture[str]) -> Callable[..., Result]:
    """Runs `track eval tracker` in this process: exit code, stdout, stderr."""

    def run(*arguments: object) -> Result:
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            main(["eval", "tracker", *map(str, arguments)])
        output, errors = capsys.readouterr()
        return int(end.value.code or 0), output, errors

    return run


# Metrics


def trackeval_metrics(lengths: dict[str, int]) -> dict[str, dict[str, float]]:
    """Returns the metrics of trackeval's own program for the folders results and gt, by sequence."""
    from trackeval import Evaluator
    from trackeval.datasets import MotChallenge2DBox
    from trackeval.metrics import CLEAR, HOTA, Identity

    quiet = ("PRINT_RESULTS", "PRINT_CONFIG", "TIME_PROGRESS", "OUTPUT_SUMMARY", "OUTPUT_DETAILED", "PLOT_CURVES")
    evaluator = Evaluator({**dict.fromkeys(quiet, False), "LOG_ON_ERROR": None})
    paths = {"GT_FOLDER": "gt", "TRACKERS_FOLDER": ".", "TRACKERS_TO_EVAL": ["results"], "TRACKER_SUB_FOLDER": ""}
    settings = {"DO_PREPROC": False, "SKIP_SPLIT_FOL": True, "PRINT_CONFIG": False, "SEQ_INFO": lengths}
    metrics = [HOTA(), CLEAR({"PRINT_CONFIG": False}), Identity({"PRINT_CONFIG": False})]
    results, _ = evaluator.evaluate([MotChallenge2DBox({**paths, **settings})], metrics)
    names = {"Rcll": "CLR_Re", "Prcn": "CLR_Pr", "FP": "CLR_FP", "FN": "CLR_FN"}
    scores: dict[str, dict[str, float]] = {}
    for sequence, classes in results["MotChallenge2DBox"]["results"].items():
        values = {name: value for fields in classes["pedestrian"].values() for name, value in fields.items()}
        scale = {name: 100 if name in PERCENTAGES else 1 for name in METRICS}
        scores[sequence] = {name: scale[name] * float(np.mean(values[names.get(name, name)])) for name in METRICS}
    return scores


def test_all_metrics_equal_those_of_trackeval(scenes: dict[str, tuple[MotTable, MotTable]]) -> None:
    reference = trackeval_metrics(dict.fromkeys(scenes, 60))
    metrics = evaluate_tracks(Path("results"), Path("gt"))
    assert metrics.combined == pytest.approx(reference.pop("COMBINED_SEQ"), abs=1e-5)
    assert metrics.sequences.keys() == reference.keys() == scenes.keys()
    for name, expected in reference.items():
        assert metrics.sequences[name] == pytest.approx(expected, abs=1e-5)
    assert metrics.sequences["park"]["IDSW"] > 10 and metrics.sequences["park"]["HOTA"] > 20
    assert combined_metrics(scenes) == metrics.combined
    assert {name: curve.mean() for name, curve in metrics.curves.items()} == pytest.approx(
        {name: metrics.combined[name] for name in ("HOTA", "DetA", "AssA")}
    )


def test_order_of_rows_and_gaps_between_frames() -> None:
    tracks, gt = make_scene(5)
    shuffled = np.random.default_rng(0).permutation(tracks)
    expected = combined_metrics({"a": (tracks, gt)})
    assert combined_metrics({"a": (shuffled, gt[::-1])}) == pytest.approx(expected)
    tracks[:, 0] = gt[:, 0] = 1  # ids must be unique in a frame
    with pytest.raises(InputError, match=r"the result of a holds the id \d+ twice in frame 1"):
        combined_metrics({"a": (tracks, gt)})
    far = np.array([[1e9, 1, 0, 0, 9, 9, 1]])  # memory does not grow with the frame number
    assert combined_metrics({"a": (far, far)})["MOTA"] == 100


def test_ground_truth_with_confidence_0_is_ignored() -> None:
    tracks, gt = make_scene(6)
    counted = gt[gt[:, 6] == 1]
    assert len(counted) < len(gt) and combined_metrics({"a": (tracks, gt)}) == combined_metrics(
        {"a": (tracks, counted)}
    )
    gt[:, 6] = 0
    with pytest.raises(InputError, match="the ground truth holds no box"):
        combined_metrics({"a": (tracks, gt)})


# Files


def test_csv_and_mot_files_of_track_are_equal(tmp_path: Path) -> None:
    info = VideoInfo("clip", 640, 480, Fraction(1, 10), Fraction(10))
    boxes = np.array([[10.126, 20.5, 30.25, 60], [100, 100, 140.5, 220.75]], np.float32)
    for name in ("tracks.csv", "tracks.txt"):
        with open_writer(tmp_path / name, info, ["a, or b", "c"], OutputConfig()) as writer:
            for index in (0, 3):
                frame = Frame(index, index / 10, index, np.zeros((480, 640, 3), np.uint8))
                two = np.array([2, 5]), boxes + index, np.array([0.5, 1], np.float32), np.array([0, 1])
                motion = np.zeros((2, 2), np.float32), np.zeros(2, np.float32), np.array([True, False]), two[0]
                writer.write(frame, Tracks(*two, *motion))
    table = read_tracks(tmp_path / "tracks.csv")
    assert table[:, 0].tolist() == [1, 1, 4, 4] and table[:, 1].tolist() == [2, 5, 2, 5]
    assert table[0] == pytest.approx([1, 2, 10.13, 20.5, 20.12, 39.5, 0.5])
    assert table == pytest.approx(read_tracks(tmp_path / "tracks.txt"))


@pytest.mark.parametrize(
    ("results", "gt", "names"),
    [
        ("results", "gt", ["empty", "park", "street"]),
        ("results", "flat", ["empty", "park", "street"]),
        ("nested", "gt", ["empty", "park", "street"]),
        ("results/park.txt", "gt", ["park"]),
        ("results", "flat/park.txt", ["park"]),
        ("results/park.txt", "gt/street", ["street"]),
        ("results/park.txt", "gt/park/gt/gt.txt", ["park"]),
        ("nested/park/tracks.csv", "flat", ["park"]),
    ],
)
def test_layouts(scenes: dict[str, tuple[MotTable, MotTable]], results: str, gt: str, names: list[str]) -> None:
    header = "frame,time_s,track_id,class,score,x1,y1,x2,y2,observed\n"
    for name, (tracks, gt_table) in scenes.items():
        write_mot(Path("flat", f"{name}.txt"), gt_table)
        lines = [
            f"{row[0] - 1:.0f},0,{row[1]:.0f},person,0.9,{','.join(map(str, xywh_to_xyxy(row[2:6])))},1\n"
            for row in tracks
        ]
        Path("nested", name).mkdir(parents=True)
        Path("nested", name, "tracks.csv").write_text(header + "".join(lines))
    pairs = read_sequences(Path(results), Path(gt))
    assert list(pairs) == names
    for name, (tracks, gt_table) in pairs.items():
        assert gt_table == pytest.approx(scenes[name][1])
        assert tracks[:, :6] == pytest.approx(scenes["park" if "park" in results else name][0][:, :6])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("gone gt", "cannot read gone: No such file or directory"),
        ("results gone", "cannot read gone"),
        ("folder gt", "the folder folder holds no tracks"),
        ("results gt/park", "gt/park holds no ground truth of empty, street, which results holds"),
        ("less gt", "less holds no tracks of empty, street, which gt holds"),
        ("twice gt", "twice/park.txt and twice/park.csv are both of the sequence park"),
        ("words.txt gt/park", "words.txt, line 2: "),
        ("binary.txt gt/park", "binary.txt, line 1 is not a MOTChallenge file: this is not text"),
        ("short.txt gt/park", "short.txt, line 1: 4 columns"),
        ("nan.txt gt/park", "nan.txt, line 2: the box and its score must be finite numbers"),
        ("zero.txt gt/park", "zero.txt, line 1: '0' is no number of a frame, which count from 1"),
        ("half.csv gt/park", "half.csv is not a CSV of tracks: it has no column 'x1'"),
        ("same.txt gt/park", "the result of park holds the id 2 twice in frame 1"),
        ("results gt --against less", "less holds no tracks of empty, street"),
        ("results gt --against results/park.txt", "are not of the same sequences"),
        ("results gt --json old.json", "the output old.json exists: give --overwrite"),
        ("results gt --plot figure.gif", "figure.gif must end with .png or .svg or .pdf"),
        ("results gt --plot gone/figure.png", "there is no folder gone"),
        ("results gt --errors new", "give both"),
        ("results gt --video film.mp4", "give both"),
        ("results gt --errors new --video film.mp4", "3 sequences need a folder of videos"),
        ("results gt --errors new --video folder", "no video of empty in folder: looked for empty/video.mp4"),
        ("results/park.txt gt --errors less --video film.mp4", "the folder less is not empty"),
        ("results/park.txt gt --errors new --video gone.mp4", "there is no file or folder gone.mp4"),
        ("results/park.txt gt --errors new --video film.mp4", "film.mp4 ends at frame 5, before the id switch of park"),
    ],
)
def test_bad_input_gets_one_sentence(
    scenes: dict[str, tuple[MotTable, MotTable]], track: Callable[..., Result], arguments: str, message: str
) -> None:
    Path("folder").mkdir()
    write_clip(Path("film.mp4"), 5)
    tracks = scenes["park"][0]
    for path in ("less/park.txt", "twice/park.txt", "twice/park.csv"):
        write_mot(Path(path), tracks)
    files: dict[str, str | bytes] = {
        "words.txt": "1,2,5,5,5,5,1\nsome words\n",
        "binary.txt": b"\xff\xfe\x00",
        "short.txt": "1,2,3,4\n",
        "nan.txt": "1,1,5,5,5,5,1\n1,2,nan,5,5,5,1\n",
        "zero.txt": "0,2,5,5,5,5,1\n",
        "half.csv": "frame,time_s,track_id,score\n0,0,1,1\n",
        "same.txt": "1,2,5,5,5,5,1\n1,2,6,6,6,6,1\n",
        "old.json": "mine",
    }
    for name, text in files.items():
        Path(name).write_bytes(text if isinstance(text, bytes) else text.encode())
    before = {*Path().rglob("*")}
    code, output, errors = track(*arguments.split())
    assert (code, output) == (2, "")
    assert errors.startswith("track: ") and errors.count("\n") == 1 and message in errors
    assert {*Path().rglob("*")} == before and Path("old.json").read_text() == "mine"


@pytest.mark.parametrize(("package", "flags"), [("trackeval", ()), ("matplotlib", ("--plot", "figure.png"))])
def test_missing_package_is_named(
    scenes: dict[str, tuple[MotTable, MotTable]],
    track: Callable[..., Result],
    monkeypatch: pytest.MonkeyPatch,
    package: str,
    flags: tuple[str, ...],
) -> None:
    for name in [name for name in sys.modules if name.startswith(f"{package}.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    code, output, errors = track("results", "gt", *flags)
    assert (code, output) == (2, "")
    assert errors == f"track: evaluation needs the package {package}: pip install 'video-tracker[eval]'\n"


# Output


def test_table_and_json_are_equal(scenes: dict[str, tuple[MotTable, MotTable]], track: Callable[..., Result]) -> None:
    code, output, errors = track("results", "gt", "--json", "scores.json")
    assert (code, errors) == (0, "")
    header, *lines = (line.split() for line in output.splitlines())
    assert header == ["sequence", *METRICS] and [line[0] for line in lines] == ["empty", "park", "street", "COMBINED"]
    assert len({len(line) for line in output.splitlines()}) == 1 and "\x1b" not in output
    run = json.loads(Path("scores.json").read_text())["runs"]["results"]
    metrics = evaluate_sequences(scenes)
    assert run["combined"] == metrics.combined and run["sequences"] == metrics.sequences
    assert run["curves"]["alpha"][0] == 0.05 and len(run["curves"]["HOTA"]) == 19
    for name, *cells in lines:
        expected_metrics = run["combined"] if name == "COMBINED" else run["sequences"][name]
        expected = [
            f"{expected_metrics[metric]:.2f}" if metric in PERCENTAGES else str(expected_metrics[metric])
            for metric in METRICS
        ]
        assert cells == expected


def test_comparison_of_two_results(scenes: dict[str, tuple[MotTable, MotTable]], track: Callable[..., Result]) -> None:
    for name, (tracks, _) in scenes.items():
        write_mot(Path("other", f"{name}.txt"), tracks[::2])
    code, output, _ = track("results", "gt", "--against", "other", "--json", "scores.json", "--plot", "figure.png")
    assert code == 0
    header, *lines = (line.split() for line in output.splitlines())
    column = header.index("HOTA")
    first, second, difference = lines[-3:]
    assert first[:2] == ["COMBINED", "results"] and second[0] == "other" and difference[0] == "difference"
    content = json.loads(Path("scores.json").read_text())
    hota = {name: content["runs"][name]["combined"]["HOTA"] for name in ("results", "other")}
    assert content["difference"]["combined"]["HOTA"] == hota["results"] - hota["other"] > 0
    assert (first[column], second[column - 1]) == (f"{hota['results']:.2f}", f"{hota['other']:.2f}")
    assert difference[column - 1] == f"{hota['results'] - hota['other']:+.2f}"
    assert content["difference"]["sequences"]["park"]["FN"] < 0
    height, width = cv2.imread("figure.png").shape[:2]
    assert width > 2 * height > 1000  # one diagram for each of the three figures


def test_improvements_are_green(scenes: dict[str, tuple[MotTable, MotTable]]) -> None:
    worse = {name: (tracks[::2], gt) for name, (tracks, gt) in scenes.items()}
    (table,) = metrics_tables({"a": evaluate_sequences(scenes), "b": evaluate_sequences(worse)})
    styles = {column.header: getattr([*column.cells][-1], "style", "") for column in table.columns}
    assert styles["HOTA"] == styles["MT"] == styles["FN"] == "green" and styles["FP"] == "red"


def test_narrow_terminal_has_two_tables(scenes: dict[str, tuple[MotTable, MotTable]]) -> None:
    headers = [[c.header for c in table.columns] for table in metrics_tables({"a": evaluate_sequences(scenes)}, 80)]
    assert headers == [["sequence", *PERCENTAGES], ["sequence", *METRICS[len(PERCENTAGES) :]]]


def test_run_names() -> None:
    assert run_names(Path("a/one"), Path("a/two")) == ("one", "two")
    assert run_names(Path("a/one/results"), Path("a/two/results")) == ("one", "two")
    assert len(set(run_names(Path("a"), Path("a")))) == 2


def test_curves(scenes: dict[str, tuple[MotTable, MotTable]], tmp_path: Path) -> None:
    draw_curves({"$ours": evaluate_sequences(scenes)}, tmp_path / "figure.svg")
    assert (tmp_path / "figure.svg").read_text().count("<path") > 10
    with pytest.raises(InputError, match=r"must end with \.png, \.svg, \.pdf"):
        draw_curves({"ours": evaluate_sequences(scenes)}, tmp_path / "figure.gif")


@pytest.mark.parametrize("heights", [[50, 50, 50], [60, 20, 59], [10, 90], [0, 0, 1, 2, 1]])
def test_labels_are_spread_in_order(heights: list[float]) -> None:
    positions = _spread_labels(heights, 100)
    order = np.argsort(heights, kind="stable")
    assert (np.diff(np.array(positions)[order]) >= 6 - 1e-9).all()
    assert all(
        abs(position - height) <= 6 * len(heights) / 2 for position, height in zip(positions, heights, strict=True)
    )


@pytest.mark.slow
def test_closed_pipe(scenes: dict[str, tuple[MotTable, MotTable]]) -> None:
    code = "import sys; from tracker.cli.app import main\ntry: main(['eval', 'tracker', 'results', 'gt'])\n"
    code += "finally: print(*sys.modules, file=sys.stderr)"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        loaded = process.stderr.read().decode().split()
    assert process.returncode == 141 and "trackeval" in loaded
    assert not {"torch", "matplotlib", "Traceback"} & set(loaded)


# Id switches


def test_id_switch_and_last_frame_before() -> None:
    box = [10, 10, 20, 40, 1]
    gt = np.array([[frame, 7, *box] for frame in range(1, 9)], float)
    tracks = np.array([[frame, 3 if frame < 4 else 8, *box] for frame in (1, 2, 3, 6, 7, 8)], float)
    switches = find_id_switches(align(tracks, gt, "a"))
    assert [column.tolist() for column in (switches.frames, switches.last_frames)] == [[6], [3]]
    assert [column.tolist() for column in (switches.gt_ids, switches.old_ids, switches.new_ids)] == [[7], [3], [8]]


@pytest.mark.parametrize("seed", range(8))
def test_number_of_id_switches_is_that_of_trackeval(seed: int) -> None:
    tracks, gt = make_scene(seed, objects=9)
    tracks = tracks[tracks[:, 0] % 7 != 0]  # frames without any track
    expected = combined_metrics({"a": (tracks, gt)})["IDSW"]
    assert len(find_id_switches(align(tracks, gt, "a"))) == expected > 20


@pytest.mark.parametrize(("false_positive", "expected"), [(True, 1), (False, 0)])
def test_only_the_frame_before_keeps_a_match(false_positive: bool, expected: int) -> None:
    """The object loses track 1 in frame 2; in frame 3 track 2 fits better. A frame without any track is ignored."""
    gt = np.array([[frame, 5, 0, 0, 20, 40, 1] for frame in (1, 2, 3)], float)
    rows = [[1, 1, 0, 0, 20, 40, 1], [3, 1, 0, 10, 20, 40, 1], [3, 2, 0, 1, 20, 40, 1]]
    tracks = np.array(rows + [[2, 9, 500, 0, 20, 40, 1]] * false_positive, float)
    assert len(find_id_switches(align(tracks, gt, "a"))) == expected == combined_metrics({"a": (tracks, gt)})["IDSW"]


SHADE_STEP = 6  # difference of gray between two frames, above the compression noise


def draw_shade(number: int, width: int, height: int) -> Any:
    return np.full((height, width, 3), 20 + SHADE_STEP * number, np.uint8)


def make_id_switch() -> tuple[MotTable, MotTable]:
    """Makes an object with id 4 up to frame 12, without a track up to 20, with id 9 from 21; id 5 is beside it."""
    gt = np.array([[frame, 2, 40, 30, 20, 60, 1] for frame in range(1, 31)], float)
    rows = [[frame, 4 if frame < 13 else 9, 40, 30, 20, 60, 1] for frame in range(1, 31) if not 12 < frame < 21]
    return np.array(rows + [[frame, 5, 61, 30, 20, 60, 1] for frame in range(1, 31)], float), gt


def has_color(panel: Any, color: tuple[int, int, int]) -> bool:
    return bool((np.abs(panel[:HEIGHT].astype(int) - color).max(-1) < 40).sum() > 100)


def test_strip_shows_the_frames_around_an_id_switch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, track: Callable[..., Result]
) -> None:
    monkeypatch.chdir(tmp_path)
    opened: list[str] = []
    open_source = tracker.evaluation.mot.id_switches.strips.open_source
    monkeypatch.setattr(
        tracker.evaluation.mot.id_switches.strips, "open_source", lambda *a: opened.append(a[0]) or open_source(*a)
    )
    write_clip(Path("film.mp4"), 30, 5, size=(160, 120), draw=draw_shade, options={"qp": "0"})
    for path, table in zip((Path("found.txt"), Path("a b#.txt")), make_id_switch(), strict=True):
        write_mot(path, table)
    code, output, errors = track("found.txt", "a b#.txt", "--errors", "errors", "--video", "film.mp4")
    assert (code, errors) == (0, "") and output.endswith("drew 1 id switches: errors/index.html\n")
    assert opened == ["film.mp4"]
    name = "a b#_frame000021_id4_to_id9.jpg"
    assert {path.name for path in Path("errors").iterdir()} == {"errors.csv", "index.html", name}
    with Path("errors/errors.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["sequence"], row["frame"], row["last_frame"], row["object_id"]) == ("a b#", "21", "12", "2")
    assert (float(row["time_s"]), row["old_id"], row["new_id"], row["image"]) == (4.0, "4", "9", name)
    html = Path("errors/index.html").read_text()
    assert f'src="{quote(name)}"' in html and not re.search(r"(src|href)=.(?!a%20b%23_|errors\.csv)", html)
    strip = cv2.imread(f"errors/{name}")[:, :, ::-1]
    panels = [strip[HEADER:, GAP + n * (WIDTH + GAP) :][:, :WIDTH] for n in range(5)]
    # 0.4 s (two frames) before and after the gap, its ends, and its middle; numbers from 1.
    shades = [(float(np.median(panel[80:200])) - 20) / SHADE_STEP + 1 for panel in panels]
    assert shades == pytest.approx([10, 12, 16, 21, 23], abs=0.4)
    assert [has_color(panel, OLD_COLOR) for panel in panels] == [True, True, False, False, False]
    assert [has_color(panel, NEW_COLOR) for panel in panels] == [False, False, False, True, True]


def test_one_image_for_each_id_switch(
    scenes: dict[str, tuple[MotTable, MotTable]], track: Callable[..., Result]
) -> None:
    Path("videos/park/img1").mkdir(parents=True)
    Path("videos/park/seqinfo.ini").write_text("[Sequence]\nname=park\nframeRate=4\n")
    for number in range(1, 61):
        cv2.imwrite(f"videos/park/img1/{number:06d}.jpg", np.full((120, 160, 3), 90, np.uint8))
    write_clip(Path("videos/street.mp4"), 60, size=(160, 120))
    write_clip(Path("videos/empty.mkv"), 2)
    assert track("results", "gt", "--errors", "errors", "--video", "videos")[0] == 0
    with Path("errors/errors.csv").open(newline="") as file:
        rows = [*csv.DictReader(file)]
    metrics = evaluate_sequences(scenes).sequences
    for name in scenes:
        sequence_rows = [row for row in rows if row["sequence"] == name]
        assert len(sequence_rows) == len({*Path("errors").glob(f"{name}_*.jpg")}) == metrics[name]["IDSW"]
        assert {row["image"] for row in sequence_rows} == {path.name for path in Path("errors").glob(f"{name}_*")}
    assert all(float(row["time_s"]) == (int(row["frame"]) - 1) / 4 for row in rows if row["sequence"] == "park")


def test_id_switch_at_the_border_of_image_and_video(tmp_path: Path) -> None:
    gt = np.array([[frame, 1, -30, 90, 60, 80, 1] for frame in (1, 2)], float)
    tracks = gt.copy()
    tracks[1, 1] = 2
    clip = write_clip(tmp_path / "film.mp4", 2, size=(160, 120))
    (switch,) = tracker.evaluation.mot.id_switches.strips.draw_id_switches("a", tracks, gt, str(clip), tmp_path / "new")
    assert (switch.frame, switch.last_frame) == (2, 1)
    assert cv2.imread(str(tmp_path / "new" / switch.image)).shape[1] == GAP + 5 * (WIDTH + GAP)
