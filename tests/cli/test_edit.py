"""`track edit` and the export of repaired tracks, on a run with stub networks."""

import json
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stub_networks import moving_clip
from video_clips import read_frames

Track = Callable[..., tuple[int, str, str]]
RUN = Path("tracked/video")


@pytest.fixture(name="run")
def tracked_clip(stubbed: None, track: Track, working_folder: Path) -> Track:
    """Tracks a clip with a person and a car."""
    moving_clip(Path("video.mp4"), 30, pts=[n * 100 + (n % 3) * 20 for n in range(30)], time_base=Fraction(1, 1000))
    assert track("video.mp4", "--quiet")[0] == 0
    return track


def ids(path: Path) -> set[int]:
    return set(pq.read_table(path)["track_id"].to_pylist())


def test_an_export_without_edits_has_the_bytes_of_the_run(run: Track) -> None:
    code, out, _ = run("export", RUN)
    assert code == 0 and out.count("wrote ") == 5
    for name in ("tracks.csv", "tracks.parquet", "tracks_summary.parquet", "summary.csv"):
        assert (RUN / "repaired" / name).read_bytes() == (RUN / name).read_bytes()
    code, _, error = run("export", RUN)
    assert code == 2 and "exists: give --overwrite" in error and "Traceback" not in error


def test_edits_and_their_export(run: Track) -> None:
    assert run("edit", RUN, "split", 1, "--at", "1")[1] == "split 1 at frame 10: 3 from there on\n"
    assert run("edit", RUN, "class", 3, "dog", "--author", "ann")[0] == 0
    assert run("edit", RUN, "delete", 2)[0] == 0
    assert run("export", RUN)[0] == 0
    assert ids(RUN / "repaired" / "tracks.parquet") == {1, 3} and ids(RUN / "tracks.parquet") == {1, 2}
    coco = json.loads((RUN / "repaired" / "tracks.json").read_text())
    assert len(coco["images"]) == 30 and coco["categories"][-1]["name"] == "dog"
    assert run("edit", RUN, "undo")[1] == "undone: delete 2\n"
    assert run("export", RUN, "-o", "again.csv")[0] == 0
    assert {line.split(",")[2] for line in Path("again.csv").read_text().splitlines()[1:]} == {"1", "2", "3"}
    listed = run("edit", RUN, "list")[1]
    assert "ann  set the class of 3 to dog" in listed and listed.endswith("\n2 edits in effect\n")


def test_a_merge_of_tracks_that_are_both_there_says_so(run: Track) -> None:
    text = "merge 1 and 2; both have a box in 29 frames, where one of the two stays\n"
    assert run("edit", RUN, "merge", 1, 2)[1] == text
    assert run("edit", RUN, "list")[1].endswith(f"{text}1 edit in effect\n")
    run("edit", RUN, "undo")
    run("edit", RUN, "split", 1, "--frame", 10)
    assert run("edit", RUN, "merge", 1, 3)[1] == "merge 1 and 3\n"


def test_the_repaired_video_keeps_the_times(run: Track) -> None:
    run("edit", RUN, "delete", 2)
    assert run("export", RUN, "-o", "repaired.mp4")[0] == 0
    (frames, _), (source, _) = read_frames("repaired.mp4"), read_frames("video.mp4")
    assert [frame.time for frame in frames] == pytest.approx([frame.time for frame in source], abs=1e-3)


def test_tracking_anew_and_the_same_edits(run: Track) -> None:
    run("edit", RUN, "split", 1, "--frame", 10)
    run("edit", RUN, "swap", 1, 3, "--frame", 20)
    assert run("retrack", RUN, "--quiet")[0] == 0
    out = run("edit", "tracked/video-2", "replay", RUN)[1]
    assert "2 of 2 edits fit" in out
    for folder in (RUN, Path("tracked/video-2")):
        assert run("export", folder)[0] == 0
    files = [folder / "repaired/tracks.csv" for folder in (RUN, Path("tracked/video-2"))]
    assert files[0].read_bytes() == files[1].read_bytes()


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("nowhere", "undo"), "nowhere has no tracks.parquet"),
        ((RUN, "undo"), "nothing to undo"),
        ((RUN, "merge", 1), "merge A B: got 1"),
        ((RUN, "merge", 1, "b"), "merge A B: got 1 b"),
        ((RUN, "merge", 1, 1), "given twice"),
        ((RUN, "merge", 1, 9), "no track 9"),
        ((RUN, "split", 1), "needs the frame"),
        ((RUN, "split", 1, "--at", "soon"), "--at soon"),
        ((RUN, "split", 1, "--at", "900"), "no frame at 900 s"),
        ((RUN, "split", 1, "--at", "1", "--frame", 3), "either --at or --frame"),
        ((RUN, "box", 1, 3), "box A FRAME"),
        ((RUN, "box", 1, 3, "1,2,3"), "box A FRAME"),
        ((RUN, "undo", "1"), "too much"),
        ((RUN, "replay"), "OTHER_RUN"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(
    track: Track, working_folder: Path, arguments: tuple[object, ...], reason: str
) -> None:
    write_small_run(working_folder / RUN)
    code, out, error = track("edit", *arguments)
    assert code == 2 and reason in error and "Traceback" not in error and not out


def write_small_run(folder: Path) -> None:
    """Writes a run of two tracks in 20 frames, without a source."""
    folder.mkdir(parents=True)
    rows = [{"frame": n // 2, "time_s": n // 2 / 10, "track_id": n % 2 + 1, "class": "person"} for n in range(40)]
    box = {"score": 0.9, "x1": 1.0, "y1": 1.0, "x2": 9.0, "y2": 9.0, "observed": True}
    pq.write_table(pa.Table.from_pylist([row | box for row in rows]), folder / "tracks.parquet")
