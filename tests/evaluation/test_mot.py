"""`track eval tracker`: figures as trackeval's own program gives them, and pictures that show why identities switch."""

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
from tracker.evaluation import evaluate_tracks, read_sequences, read_tracks, score_sequences, score_tracks
from tracker.evaluation.mot.alignment import align
from tracker.evaluation.mot.id_switches.events import id_switches
from tracker.evaluation.mot.id_switches.panels import GAP, HEADER, HEIGHT, NEW, OLD, WIDTH
from tracker.evaluation.mot.metrics import FIGURES, PERCENTAGES
from tracker.evaluation.mot.plots import _spread, draw_curves
from tracker.evaluation.mot.report import run_names, score_tables
from tracker.output import VideoInfo, open_writer
from tracker.structures.boxes import xywh_to_xyxy
from tracker.structures.types import Frame, Tracks
from video_clips import write_clip

pytest.importorskip("trackeval", reason="the extra [eval] is not installed")

Rows = np.ndarray[Any, np.dtype[np.float64]]
Result = tuple[int, str, str]


def scene(seed: int, frames: int = 60, objects: int = 6) -> tuple[Rows, Rows]:
    """Found and true rows: walkers that cross, with misses, false alarms, swapped ids and rows that do not count."""
    random = np.random.default_rng(seed)
    start, speed = random.uniform(0, 400, (objects, 2)), random.normal(0, 4, (objects, 2))
    ids = random.permutation(objects) + 3
    found, true = [], []
    for frame in range(1, frames + 1):
        if random.random() < 0.1:
            ids = random.permutation(ids)
        for n in range(objects):
            box = np.array([*(start[n] + frame * speed[n]), 30 + n, 80 + n])
            if random.random() < 0.9:
                true.append([frame, n + 1, *box, random.random() < 0.9])
            if random.random() < 0.85:
                found.append([frame, ids[n], *(box + random.normal(0, 4, 4)), 0.9])
        if random.random() < 0.3:
            found.append([frame, 99 + frame // 10, *random.uniform(10, 90, 4), 0.5])
    return np.array(found, float), np.array(true, float)


def write_rows(path: Path, rows: Rows) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(",".join(f"{value:.6g}" for value in row) + ",-1,-1,-1\n" for row in rows))


@pytest.fixture
def scenes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, tuple[Rows, Rows]]:
    """Three sequences in memory and, in the layouts of the MOTChallenge, in the folders results and gt beside us."""
    monkeypatch.chdir(tmp_path)
    for seed, name in enumerate(("street", "park", "empty")):
        found, true = scene(seed)
        write_rows(Path("results", f"{name}.txt"), found[: 0 if name == "empty" else None])
        write_rows(Path("gt", name, "gt", "gt.txt"), true)
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


# Figures


def by_trackeval(lengths: dict[str, int]) -> dict[str, dict[str, float]]:
    """What trackeval's own program computes from the folders results and gt, by sequence."""
    from trackeval import Evaluator
    from trackeval.datasets import MotChallenge2DBox
    from trackeval.metrics import CLEAR, HOTA, Identity

    quiet = ("PRINT_RESULTS", "PRINT_CONFIG", "TIME_PROGRESS", "OUTPUT_SUMMARY", "OUTPUT_DETAILED", "PLOT_CURVES")
    evaluator = Evaluator({**dict.fromkeys(quiet, False), "LOG_ON_ERROR": None})
    where = {"GT_FOLDER": "gt", "TRACKERS_FOLDER": ".", "TRACKERS_TO_EVAL": ["results"], "TRACKER_SUB_FOLDER": ""}
    how = {"DO_PREPROC": False, "SKIP_SPLIT_FOL": True, "PRINT_CONFIG": False, "SEQ_INFO": lengths}
    metrics = [HOTA(), CLEAR({"PRINT_CONFIG": False}), Identity({"PRINT_CONFIG": False})]
    outcome, _ = evaluator.evaluate([MotChallenge2DBox({**where, **how})], metrics)
    names = {"Rcll": "CLR_Re", "Prcn": "CLR_Pr", "FP": "CLR_FP", "FN": "CLR_FN"}
    scores: dict[str, dict[str, float]] = {}
    for sequence, classes in outcome["MotChallenge2DBox"]["results"].items():
        values = {name: value for part in classes["pedestrian"].values() for name, value in part.items()}
        scale = {name: 100 if name in PERCENTAGES else 1 for name in FIGURES}
        scores[sequence] = {name: scale[name] * float(np.mean(values[names.get(name, name)])) for name in FIGURES}
    return scores


def test_every_figure_is_trackevals_own(scenes: dict[str, tuple[Rows, Rows]]) -> None:
    reference = by_trackeval(dict.fromkeys(scenes, 60))
    scores = evaluate_tracks(Path("results"), Path("gt"))
    assert scores.combined == pytest.approx(reference.pop("COMBINED_SEQ"), abs=1e-5)
    assert scores.sequences.keys() == reference.keys() == scenes.keys()
    for name, expected in reference.items():
        assert scores.sequences[name] == pytest.approx(expected, abs=1e-5)
    assert scores.sequences["park"]["IDSW"] > 10 and scores.sequences["park"]["HOTA"] > 20
    assert score_tracks(scenes) == scores.combined
    assert {name: curve.mean() for name, curve in scores.curves.items()} == pytest.approx(
        {name: scores.combined[name] for name in ("HOTA", "DetA", "AssA")}
    )


def test_rows_in_any_order_and_frames_far_apart() -> None:
    found, true = scene(5)
    shuffled = np.random.default_rng(0).permutation(found)
    expected = score_tracks({"a": (found, true)})
    assert score_tracks({"a": (shuffled, true[::-1])}) == pytest.approx(expected)
    found[:, 0] = true[:, 0] = 1  # what is not kept apart by the frame must have ids of its own
    with pytest.raises(InputError, match=r"the result of a holds the id \d+ twice in frame 1"):
        score_tracks({"a": (found, true)})
    far = np.array([[1e9, 1, 0, 0, 9, 9, 1]])  # no list of a milliard frames
    assert score_tracks({"a": (far, far)})["MOTA"] == 100


def test_truth_that_does_not_count() -> None:
    found, true = scene(6)
    kept = true[true[:, 6] == 1]
    assert len(kept) < len(true) and score_tracks({"a": (found, true)}) == score_tracks({"a": (found, kept)})
    true[:, 6] = 0
    with pytest.raises(InputError, match="the truth holds no box that counts"):
        score_tracks({"a": (found, true)})


# Files


def test_what_track_writes_is_read_alike(tmp_path: Path) -> None:
    info = VideoInfo("clip", 640, 480, Fraction(1, 10), Fraction(10))
    boxes = np.array([[10.126, 20.5, 30.25, 60], [100, 100, 140.5, 220.75]], np.float32)
    for name in ("tracks.csv", "tracks.txt"):
        with open_writer(tmp_path / name, info, ["a, or b", "c"], OutputConfig()) as writer:
            for index in (0, 3):
                frame = Frame(index, index / 10, index, np.zeros((480, 640, 3), np.uint8))
                two = np.array([2, 5]), boxes + index, np.array([0.5, 1], np.float32), np.array([0, 1])
                motion = np.zeros((2, 2), np.float32), np.zeros(2, np.float32), np.array([True, False]), two[0]
                writer.write(frame, Tracks(*two, *motion))
    rows = read_tracks(tmp_path / "tracks.csv")
    assert rows[:, 0].tolist() == [1, 1, 4, 4] and rows[:, 1].tolist() == [2, 5, 2, 5]
    assert rows[0] == pytest.approx([1, 2, 10.13, 20.5, 20.12, 39.5, 0.5])
    assert rows == pytest.approx(read_tracks(tmp_path / "tracks.txt"))


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
def test_layouts(scenes: dict[str, tuple[Rows, Rows]], results: str, gt: str, names: list[str]) -> None:
    header = "frame,time_s,track_id,class,score,x1,y1,x2,y2,observed\n"
    for name, (found, true) in scenes.items():
        write_rows(Path("flat", f"{name}.txt"), true)
        lines = [
            f"{row[0] - 1:.0f},0,{row[1]:.0f},person,0.9,{','.join(map(str, xywh_to_xyxy(row[2:6])))},1\n"
            for row in found
        ]
        Path("nested", name).mkdir(parents=True)
        Path("nested", name, "tracks.csv").write_text(header + "".join(lines))
    pairs = read_sequences(Path(results), Path(gt))
    assert list(pairs) == names
    for name, (found, true) in pairs.items():
        assert true == pytest.approx(scenes[name][1])
        assert found[:, :6] == pytest.approx(scenes["park" if "park" in results else name][0][:, :6])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("gone gt", "cannot read gone: No such file or directory"),
        ("results gone", "cannot read gone"),
        ("folder gt", "the folder folder holds no tracks"),
        ("results gt/park", "gt/park holds no truth for empty, street, for which results holds a result"),
        ("less gt", "less holds no result for empty, street, of which gt holds the truth"),
        ("twice gt", "twice/park.txt and twice/park.csv are both of the sequence park"),
        (
            "words.txt gt/park",
            "words.txt is not a MOTChallenge file: could not convert string 'some words' to float64 at row 2",
        ),
        ("binary.txt gt/park", "binary.txt is not a MOTChallenge file: it is not text"),
        ("short.txt gt/park", "short.txt is not a MOTChallenge file"),
        ("nan.txt gt/park", "row 2 of nan.txt is no box of a track in a frame from 1 on: 1, 2, nan"),
        ("zero.txt gt/park", "row 1 of zero.txt is no box of a track in a frame from 1 on: 0, 2"),
        ("half.csv gt/park", "half.csv is not a CSV of tracks: it has no column 'x1'"),
        ("same.txt gt/park", "the result of park holds the id 2 twice in frame 1"),
        ("results gt --against less", "less holds no result for empty, street"),
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
    scenes: dict[str, tuple[Rows, Rows]], track: Callable[..., Result], arguments: str, said: str
) -> None:
    Path("folder").mkdir()
    write_clip(Path("film.mp4"), 5)
    found = scenes["park"][0]
    for place in ("less/park.txt", "twice/park.txt", "twice/park.csv"):
        write_rows(Path(place), found)
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
    assert errors.startswith("track: ") and errors.count("\n") == 1 and said in errors
    assert {*Path().rglob("*")} == before and Path("old.json").read_text() == "mine"


@pytest.mark.parametrize(("package", "flags"), [("trackeval", ()), ("matplotlib", ("--plot", "figure.png"))])
def test_a_missing_package_is_named(
    scenes: dict[str, tuple[Rows, Rows]],
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
    assert errors == f"track: evaluation needs the package {package}: pip install 'tracker[eval]'\n"


# What is shown


def test_the_table_and_the_json_say_the_same(
    scenes: dict[str, tuple[Rows, Rows]], track: Callable[..., Result]
) -> None:
    code, output, errors = track("results", "gt", "--json", "scores.json")
    assert (code, errors) == (0, "")
    head, *lines = (line.split() for line in output.splitlines())
    assert head == ["sequence", *FIGURES] and [line[0] for line in lines] == ["empty", "park", "street", "COMBINED"]
    assert len({len(line) for line in output.splitlines()}) == 1 and "\x1b" not in output
    run = json.loads(Path("scores.json").read_text())["runs"]["results"]
    scores = score_sequences(scenes)
    assert run["combined"] == scores.combined and run["sequences"] == scores.sequences
    assert run["curves"]["alpha"][0] == 0.05 and len(run["curves"]["HOTA"]) == 19
    for name, *shown in lines:
        figures = run["combined"] if name == "COMBINED" else run["sequences"][name]
        expected = [f"{figures[f]:.2f}" if f in PERCENTAGES else str(figures[f]) for f in FIGURES]
        assert shown == expected


def test_two_results_side_by_side(scenes: dict[str, tuple[Rows, Rows]], track: Callable[..., Result]) -> None:
    for name, (found, _) in scenes.items():
        write_rows(Path("other", f"{name}.txt"), found[::2])
    code, output, _ = track("results", "gt", "--against", "other", "--json", "scores.json", "--plot", "figure.png")
    assert code == 0
    head, *lines = (line.split() for line in output.splitlines())
    column = head.index("HOTA")
    mine, theirs, difference = lines[-3:]
    assert mine[:2] == ["COMBINED", "results"] and theirs[0] == "other" and difference[0] == "difference"
    content = json.loads(Path("scores.json").read_text())
    hota = {name: content["runs"][name]["combined"]["HOTA"] for name in ("results", "other")}
    assert content["difference"]["combined"]["HOTA"] == hota["results"] - hota["other"] > 0
    assert (mine[column], theirs[column - 1]) == (f"{hota['results']:.2f}", f"{hota['other']:.2f}")
    assert difference[column - 1] == f"{hota['results'] - hota['other']:+.2f}"
    assert content["difference"]["sequences"]["park"]["FN"] < 0
    height, width = cv2.imread("figure.png").shape[:2]
    assert width > 2 * height > 1000  # one diagram for each of the three figures


def test_better_is_green_whichever_way_it_goes(scenes: dict[str, tuple[Rows, Rows]]) -> None:
    worse = {name: (found[::2], true) for name, (found, true) in scenes.items()}
    (table,) = score_tables({"a": score_sequences(scenes), "b": score_sequences(worse)})
    styles = {column.header: getattr([*column.cells][-1], "style", "") for column in table.columns}
    assert styles["HOTA"] == styles["MT"] == styles["FN"] == "green" and styles["FP"] == "red"


def test_a_narrow_terminal_gets_two_tables(scenes: dict[str, tuple[Rows, Rows]]) -> None:
    headers = [[c.header for c in table.columns] for table in score_tables({"a": score_sequences(scenes)}, 80)]
    assert headers == [["sequence", *PERCENTAGES], ["sequence", *FIGURES[len(PERCENTAGES) :]]]


def test_names_of_runs() -> None:
    assert run_names(Path("a/one"), Path("a/two")) == ("one", "two")
    assert run_names(Path("a/one/results"), Path("a/two/results")) == ("one", "two")
    assert len(set(run_names(Path("a"), Path("a")))) == 2


def test_curves(scenes: dict[str, tuple[Rows, Rows]], tmp_path: Path) -> None:
    draw_curves({"$ours": score_sequences(scenes)}, tmp_path / "figure.svg")
    assert (tmp_path / "figure.svg").read_text().count("<path") > 10
    with pytest.raises(InputError, match=r"must end with \.png, \.svg, \.pdf"):
        draw_curves({"ours": score_sequences(scenes)}, tmp_path / "figure.gif")


@pytest.mark.parametrize("heights", [[50, 50, 50], [60, 20, 59], [10, 90], [0, 0, 1, 2, 1]])
def test_labels_keep_apart_and_in_order(heights: list[float]) -> None:
    places = _spread(heights, 100)
    order = np.argsort(heights, kind="stable")
    assert (np.diff(np.array(places)[order]) >= 6 - 1e-9).all()
    assert all(abs(place - height) <= 6 * len(heights) / 2 for place, height in zip(places, heights, strict=True))


@pytest.mark.slow
def test_piped_into_a_short_reader(scenes: dict[str, tuple[Rows, Rows]]) -> None:
    code = "import sys; from tracker.cli.app import main\ntry: main(['eval', 'tracker', 'results', 'gt'])\n"
    code += "finally: print(*sys.modules, file=sys.stderr)"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        loaded = process.stderr.read().decode().split()
    assert process.returncode == 141 and "trackeval" in loaded
    assert not {"torch", "matplotlib", "Traceback"} & set(loaded)


# Id switches


def test_a_switch_and_where_it_was_before() -> None:
    box = [10, 10, 20, 40, 1]
    true = np.array([[frame, 7, *box] for frame in range(1, 9)], float)
    found = np.array([[frame, 3 if frame < 4 else 8, *box] for frame in (1, 2, 3, 6, 7, 8)], float)
    switches = id_switches(align(found, true, "a"))
    assert [column.tolist() for column in (switches.frames, switches.last_frames)] == [[6], [3]]
    assert [column.tolist() for column in (switches.objects, switches.old, switches.new)] == [[7], [3], [8]]


@pytest.mark.parametrize("seed", range(8))
def test_as_many_switches_as_trackeval_counts(seed: int) -> None:
    found, true = scene(seed, objects=9)
    found = found[found[:, 0] % 7 != 0]  # frames without any track
    counted = score_tracks({"a": (found, true)})["IDSW"]
    assert len(id_switches(align(found, true, "a"))) == counted > 20


@pytest.mark.parametrize(("alarm", "expected"), [(True, 1), (False, 0)])
def test_only_the_frame_before_keeps_a_pair_together(alarm: bool, expected: int) -> None:
    """The object loses track 1 in frame 2; in frame 3 track 2 fits better. A frame without any track does not count."""
    true = np.array([[frame, 5, 0, 0, 20, 40, 1] for frame in (1, 2, 3)], float)
    rows = [[1, 1, 0, 0, 20, 40, 1], [3, 1, 0, 10, 20, 40, 1], [3, 2, 0, 1, 20, 40, 1]]
    found = np.array(rows + [[2, 9, 500, 0, 20, 40, 1]] * alarm, float)
    assert len(id_switches(align(found, true, "a"))) == expected == score_tracks({"a": (found, true)})["IDSW"]


SHADES = 6  # of grey between two frames, above what compression changes


def shade(number: int, width: int, height: int) -> Any:
    return np.full((height, width, 3), 20 + SHADES * number, np.uint8)


def crossing() -> tuple[Rows, Rows]:
    """A standing object under id 4 up to frame 12, under none to 20, and under 9 from 21; id 5 stands beside it."""
    true = np.array([[frame, 2, 40, 30, 20, 60, 1] for frame in range(1, 31)], float)
    seen = [[frame, 4 if frame < 13 else 9, 40, 30, 20, 60, 1] for frame in range(1, 31) if not 12 < frame < 21]
    return np.array(seen + [[frame, 5, 61, 30, 20, 60, 1] for frame in range(1, 31)], float), true


def has(panel: Any, colour: tuple[int, int, int]) -> bool:
    return bool((np.abs(panel[:HEIGHT].astype(int) - colour).max(-1) < 40).sum() > 100)


def test_a_strip_shows_the_frames_around_a_switch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, track: Callable[..., Result]
) -> None:
    monkeypatch.chdir(tmp_path)
    opened: list[str] = []
    open_source = tracker.evaluation.mot.id_switches.strips.open_source
    monkeypatch.setattr(
        tracker.evaluation.mot.id_switches.strips, "open_source", lambda *a: opened.append(a[0]) or open_source(*a)
    )
    write_clip(Path("film.mp4"), 30, 5, size=(160, 120), draw=shade, options={"qp": "0"})
    for path, rows in zip((Path("found.txt"), Path("a b#.txt")), crossing(), strict=True):
        write_rows(path, rows)
    code, output, errors = track("found.txt", "a b#.txt", "--errors", "errors", "--video", "film.mp4")
    assert (code, errors) == (0, "") and output.endswith("drew 1 id switches: errors/index.html\n")
    assert opened == ["film.mp4"]
    name = "a b#_frame000021_id4_to_id9.jpg"
    assert {path.name for path in Path("errors").iterdir()} == {"errors.csv", "index.html", name}
    with Path("errors/errors.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["sequence"], row["frame"], row["last_frame"], row["object_id"]) == ("a b#", "21", "12", "2")
    assert (float(row["time_s"]), row["old_id"], row["new_id"], row["picture"]) == (4.0, "4", "9", name)
    page = Path("errors/index.html").read_text()
    assert f'src="{quote(name)}"' in page and not re.search(r"(src|href)=.(?!a%20b%23_|errors\.csv)", page)
    strip = cv2.imread(f"errors/{name}")[:, :, ::-1]
    panels = [strip[HEADER:, GAP + n * (WIDTH + GAP) :][:, :WIDTH] for n in range(5)]
    # Two frames of the five a second before each end of the gap, its ends, and its middle; numbers from 1.
    shades = [(float(np.median(panel[80:200])) - 20) / SHADES + 1 for panel in panels]
    assert shades == pytest.approx([10, 12, 16, 21, 23], abs=0.4)
    assert [has(panel, OLD) for panel in panels] == [True, True, False, False, False]
    assert [has(panel, NEW) for panel in panels] == [False, False, False, True, True]


def test_as_many_pictures_as_switches_in_folders(
    scenes: dict[str, tuple[Rows, Rows]], track: Callable[..., Result]
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
    scores = score_sequences(scenes).sequences
    for name in scenes:
        of_sequence = [row for row in rows if row["sequence"] == name]
        assert len(of_sequence) == len({*Path("errors").glob(f"{name}_*.jpg")}) == scores[name]["IDSW"]
        assert {row["picture"] for row in of_sequence} == {path.name for path in Path("errors").glob(f"{name}_*")}
    assert all(float(row["time_s"]) == (int(row["frame"]) - 1) / 4 for row in rows if row["sequence"] == "park")


def test_a_switch_at_the_edge_of_picture_and_video(tmp_path: Path) -> None:
    true = np.array([[frame, 1, -30, 90, 60, 80, 1] for frame in (1, 2)], float)
    found = true.copy()
    found[1, 1] = 2
    clip = write_clip(tmp_path / "film.mp4", 2, size=(160, 120))
    (switch,) = tracker.evaluation.mot.id_switches.strips.draw_switches(
        "a", found, true, str(clip), 30, tmp_path / "new"
    )
    assert (switch.frame, switch.last_frame) == (2, 1)
    assert cv2.imread(str(tmp_path / "new" / switch.picture)).shape[1] == GAP + 5 * (WIDTH + GAP)
