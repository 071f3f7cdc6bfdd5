"""`track why` on runs with stub networks: a person who is hidden for 1.5 s, and found again."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from hidden_person import FRAMES, HIDDEN, RATE, write_hidden_person

Track = Callable[..., tuple[int, str, str]]
RUN = Path("tracked/video")


@pytest.fixture(name="run")
def tracked_clip(stubbed: None, track: Track, working_folder: Path) -> Track:
    write_hidden_person(Path("video.mp4"))
    assert track("video.mp4", "--quiet")[0] == 0
    return track


def kinds(account: list[dict[str, object]]) -> list[tuple[object, object]]:
    return [(line["kind"], round(float(str(line["start"])) * RATE)) for line in account]


def test_the_account_tells_when_a_track_was_lost_and_found_again(run: Track) -> None:
    before = (RUN / "tracks.parquet").read_bytes()
    code, out, error = run("why", RUN, 1)
    assert (code, error) == (0, "")
    lines = out.splitlines()
    assert lines[0].startswith("track 1 (person), 0.10 s to ") and lines[0].endswith(" frames")
    assert any(line.lstrip().startswith("0.00 s  born: a detection of score 0.90") for line in lines)
    lost, found = HIDDEN.start / RATE, HIDDEN.stop / RATE
    assert f"{lost:.2f} s  lost: no detection near its predicted place" in out
    assert f"{lost:.2f} s to {found - 1 / RATE:.2f} s  missed in {len(HIDDEN)} frames: 11 x no detection near" in out
    assert "4 x only a detection of another class near it" in out  # the car, which passes below
    assert f"{found:.2f} s  found again after {found - lost + 1 / RATE:.2f} s: matched by its cost" in out
    assert f"matched in {FRAMES - HIDDEN.stop - 1} of {FRAMES - HIDDEN.stop - 1} frames: overlap " in out
    assert lines[-1].endswith("4.90 s  the run ends while the track is still followed")
    assert (RUN / "tracks.parquet").read_bytes() == before
    assert run("why", RUN, 1)[1] == out


def test_moments_in_detail_and_tables(run: Track) -> None:
    code, out, _ = run("why", RUN, 1, "--at", "0:03.5")
    assert code == 0 and len(out.splitlines()) == 2 and "3.50 s  matched by its cost: overlap " in out
    out = run("why", RUN, 1, "--start", "1.9", "--end", "2.1")[1]
    assert [line.split("  ")[-1][:7] for line in out.splitlines()[1:]] == ["matched", "no dete", "no dete"]
    for suffix in ("csv", "parquet", "json"):
        assert run("why", RUN, 1, "--output", f"why.{suffix}")[1] == f"wrote why.{suffix}\n"
    assert run("why", RUN, 1, "--output", "why.csv")[0] == 2
    with Path("why.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    table = pq.read_table("why.parquet").to_pylist()
    assert len(rows) == len(table) == FRAMES + 1  # born and confirmed, and an association in every frame but the first
    assert rows[0]["cost"] == "" and table[0]["cost"] is None and rows[0]["event"] == "born"
    missed = [int(row["frame"]) for row in rows if row["event"] == "missed"]
    assert missed == list(HIDDEN)
    content = json.loads(Path("why.json").read_text())
    assert kinds(content["account"])[-4:-2] == [("missed", HIDDEN.start), ("found", HIDDEN.stop)]
    assert content["decisions"][-1]["cost"] == pytest.approx(table[-1]["cost"], abs=1e-4)
    assert content["decisions"][0]["cost"] is None


def test_an_offline_run_tells_of_its_links(run: Track) -> None:
    assert run("retrack", RUN, "--offline", "--quiet")[0] == 0
    out = run("why", "tracked/video-2", 1)[1]
    assert "the gap of 1.60 s, longer than relink_gap 1 s, was linked anew: motion " in out
    assert "begins here: no other tracklet of its class ends in the 3 s before" in out
    far = ("--absence-penalty", 20, "--max-cosine-distance", 0.01)
    assert run("retrack", RUN, "--offline", *far, "--quiet")[0] == 0
    out = [run("why", "tracked/video-3", track)[1] for track in (1, 3)]
    assert "1.90 s  ends here: the likeliest link, with that of track 3, is too unlikely: motion " in out[0]
    assert "3.50 s  begins here: the likeliest link, with that of track 1, is too unlikely: motion " in out[1]


def test_edits_are_told_and_explained(run: Track) -> None:
    run("edit", RUN, "split", 1, "--frame", HIDDEN.stop, "--author", "ann")
    run("edit", RUN, "class", 3, "dog", "--author", "ann")
    out = run("why", RUN, 3)[1]
    assert out.startswith("track 3 (dog), 3.50 s") and "edited by ann" in out and "split 1 at frame 35" in out
    assert f"made of the tracks of the run: 1 (frames {HIDDEN.stop} to {FRAMES - 1})" in out and "born" not in out
    run("edit", RUN, "merge", 2, 3)
    assert run("why", RUN, 3)[0] == 2
    out = run("why", RUN, 2)[1]
    assert "[1] matched" in out and "[2] born" in out and "made of the tracks of the run: 2 (" in out


def test_what_cannot_be_explained_is_one_sentence(run: Track) -> None:
    for arguments, reason in [
        (("nowhere", 1), "nowhere is no folder of a run"),
        ((RUN, 9), "there is no track 9"),
        ((RUN, 1, "--at", "soon"), "--at soon: give seconds"),
        ((RUN, 1, "--at", "1", "--end", "2"), "give either --at, or --start and --end"),
        ((RUN, 1, "--start", "2", "--end", "1"), "--end 1 is before --start 2"),
        ((RUN, 1, "--at", "900"), "nothing was decided about track 1 at 900 s"),
        ((RUN, 1, "--output", "why.txt"), "must end with .csv"),
    ]:
        code, out, error = run("why", *arguments)
        assert code == 2 and reason in error and "Traceback" not in error and not out, arguments
    record = json.loads((RUN / "run.json").read_text())
    (RUN / "run.json").write_text(json.dumps(record | {"status": "running"}))
    assert "is not finished: let it run to its end" in run("why", RUN, 1)[2]
    for setting, value, reason in [
        ("rescore", 0.5, "was made with --rescore"),
        ("camera_motion", "ecc", "there is no gone.mp4"),
    ]:
        source = record["source"] | {"name": "gone.mp4", "path": "gone.mp4"}
        tracker = record["config"]["tracker"] | {setting: value}
        other = record | {"config": record["config"] | {"tracker": tracker}, "source": source}
        (RUN / "run.json").write_text(json.dumps(other))
        code, _, error = run("why", RUN, 1)
        assert code == 2 and reason in error
    changed = record["config"] | {"tracker": record["config"]["tracker"] | {"max_age": 0.5}}
    (RUN / "run.json").write_text(json.dumps(record | {"config": changed}))
    code, _, error = run("why", RUN, 1)
    assert code == 2 and "again does not give its track 1 as it was" in error
    assert run("video.mp4", "--no-store", "--quiet")[0] == 0
    code, _, error = run("why", "tracked/video-2", 1)
    assert code == 2 and "tracked/video-2 has no stored detections to explain its tracks by" in error
