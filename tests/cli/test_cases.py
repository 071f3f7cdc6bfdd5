"""Inputs that people reported trouble with, in ../shared/cases: `track` gives what the README there calls right."""

import csv
import json
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

import tracker
from live_streams import serve_folder
from paths import CASES, needs_cases
from tracker.cli.app import main
from video_results import packet_times

pytestmark = [pytest.mark.slow, needs_cases]

Run = Callable[..., tuple[int, str, Path]]
Rows = dict[int, tuple[float, ...]]


@pytest.fixture(name="run")
def run_track(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs `track` with the built-in networks; returns the exit code, stderr, and the folder of the results."""
    monkeypatch.chdir(tmp_path)

    def run(source: Path | str, *flags: str) -> tuple[int, str, Path]:
        with pytest.raises(SystemExit) as end:
            main([str(source), *flags])
        folders = sorted((tmp_path / "tracked").iterdir()) if (tmp_path / "tracked").is_dir() else [tmp_path]
        return int(end.value.code or 0), capsys.readouterr().err, folders[-1]

    return run


@pytest.fixture(scope="module", name="plain_boxes")
def track_plain_clip() -> Rows:
    """Returns the boxes of the plain clip, of which the others are variants."""
    frames = tracker.track(str(CASES / "video" / "base.mp4"))
    return {frame.index: tuple(tracks.boxes[0].tolist()) for frame, tracks in frames if len(tracks)}


def boxes_of(folder: Path) -> Rows:
    """Returns the box in each frame of the one track."""
    with (folder / "tracks.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["track_id"] for row in rows} <= {"1"}
    return {int(row["frame"]): tuple(float(row[corner]) for corner in ("x1", "y1", "x2", "y2")) for row in rows}


def mean_iou(boxes: Rows, others: Rows, scale: Callable[[int], tuple[float, float]]) -> float:
    """Returns the mean IoU of the boxes of two runs, the first scaled in each frame by a factor for x and y."""
    ious = []
    for frame in boxes.keys() & others.keys():
        first, second = np.array(boxes[frame]) * (*scale(frame), *scale(frame)), np.array(others[frame])
        shared = np.prod(np.maximum(np.minimum(first[2:], second[2:]) - np.maximum(first[:2], second[:2]), 0))
        ious.append(shared / (np.prod(first[2:] - first[:2]) + np.prod(second[2:] - second[:2]) - shared))
    assert len(ious) >= 25
    return float(np.mean(ious))


class TestPictures:
    """Pictures, and the conversion of pixels."""

    @pytest.mark.parametrize(("name", "frames"), [("exif", 3), ("tiff", 1)])
    def test_pictures(self, run: Run, name: str, frames: int) -> None:
        code, errors, folder = run(CASES / "video" / name)
        assert code == 0 and "Traceback" not in errors
        assert json.loads((folder / "run.json").read_text())["frames"] == frames

    def test_sixteen_bits(self, run: Run) -> None:
        code, _, folder = run(CASES / "data" / "png16" / "images")
        record = json.loads((folder / "run.json").read_text())
        assert code == 0 and record["frames"] == 12 and record["corrupt_packets"] == 0

    @pytest.mark.parametrize(
        ("name", "scale", "told"),
        [
            ("hlg.mp4", lambda frame: (1, 1), "it is HDR (HLG)"),
            ("rampup.ts", lambda frame: (3, 3) if frame < 10 else (1, 1), "the size changes from 160x90 to 480x270"),
            ("sar.mp4", lambda frame: (4 / 3, 1), ""),
        ],
    )
    def test_boxes_are_those_of_the_plain_clip(
        self,
        run: Run,
        plain_boxes: Rows,
        caplog: pytest.LogCaptureFixture,
        name: str,
        scale: Callable[[int], tuple[float, float]],
        told: str,
    ) -> None:
        code, _, folder = run(CASES / "video" / name)
        assert code == 0 and told in caplog.text and len(boxes_of(folder)) == 29
        assert mean_iou(boxes_of(folder), plain_boxes, scale) > 0.85

    def test_pixels_that_are_not_square_are_shown_as_a_player_shows_them(self, run: Run) -> None:
        _, _, folder = run(CASES / "video" / "sar.mp4")
        assert json.loads((folder / "run.json").read_text())["source"]["sample_aspect_ratio"] == "4/3"
        with av.open(str(folder / "video.mp4")) as container:
            stream = container.streams.video[0]
            assert (stream.width, stream.height, str(stream.display_aspect_ratio)) == (360, 270, "16/9")


@pytest.mark.usefixtures("stubbed")
class TestWriting:
    """Sound, long gaps and names of the files that are written; the networks, which do not matter for it, are stubs."""

    @pytest.mark.parametrize(
        ("name", "output", "codecs", "told"),
        [
            ("opus.mkv", "a.mov", ["aac"], "the audio stream 1 of {} (opus) does not fit into mov and becomes AAC"),
            ("opus.mkv", "a.mp4", ["opus"], ""),
            ("apac_second.mov", "a.mov", ["aac"], "the audio stream 2 of {} is left out: there is no decoder for it"),
            ("apac_second.mov", "a.mkv", ["aac"], "the audio stream 2 of {} is left out: there is no decoder for it"),
        ],
    )
    def test_sound_that_does_not_fit(self, run: Run, name: str, output: str, codecs: list[str], told: str) -> None:
        source = CASES / "video" / name
        code, errors, folder = run(source, "--output", output)
        lines = [line for line in errors.splitlines() if line.startswith("warning: ")]
        assert code == 0 and lines == ([f"warning: {told.format(source)}"] if told else [])
        with av.open(str(folder / output)) as container:
            assert [stream.codec_context.name for stream in container.streams.audio] == codecs
            assert container.streams.video[0].frames in (0, 30)  # Matroska does not say
            assert abs(container.duration / av.time_base - 3) < 0.05
            assert sum(packet.size > 0 for packet in container.demux(audio=0)) >= 141

    @pytest.mark.parametrize("output", ["a.mp4", "a.mov", "a.mkv"])
    @pytest.mark.parametrize(
        ("name", "last_video", "last_audio"), [("joined.ts", 5.9, 6.0), ("jump10h.ts", 36001.3, 36001.4)]
    )
    def test_times_that_restart_or_jump(
        self, run: Run, name: str, last_video: float, last_audio: float, output: str
    ) -> None:
        code, errors, folder = run(CASES / "video" / name, "--output", output, "--output", "a.csv")
        assert code == 0 and "AAC" not in errors  # it is copied
        video, audio = (packet_times(folder / output, kind) for kind in ("video", "audio"))
        assert len(video) == 60 and len(audio) >= 283
        start = video[0][0]  # the sound begins a little earlier
        assert float(video[-1][0] - start) == pytest.approx(last_video, abs=0.001)
        assert float(audio[-1][0] - start) == pytest.approx(last_audio, abs=0.05)
        steps = np.diff([float(time) for time, _ in video])
        assert np.sort(steps)[:-1] == pytest.approx(np.full(58, 0.1), abs=0.0011)
        with (folder / "a.csv").open() as file:
            assert float(list(csv.DictReader(file))[-1]["time_s"]) == pytest.approx(last_video, abs=0.001)

    def test_colon_in_a_name(self, run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        (tmp_path / "12:30:45.mp4").write_bytes((CASES / "video" / "12:30:45.mp4").read_bytes())
        code, errors, folder = run(Path("12:30:45.mp4"), "--output", "1:2.mp4", "--output", "1:2.mkv")
        assert code == 0 and errors == "loading\n"
        for name in ("1:2.mp4", "1:2.mkv"):
            with av.open(f"file:{folder / name}") as container:
                assert len(container.streams.audio) == 1 and sum(1 for _ in container.decode(video=0)) == 30

    def test_webm_without_a_duration_over_http(self, run: Run, tmp_path: Path) -> None:
        with serve_folder(CASES / "video") as url:
            code, errors, folder = run(f"{url}/rec.webm", "--output", "a.mp4")
            assert code == 0 and errors == "loading\n"
            assert [time for time, _ in packet_times(folder / "a.mp4")] == [Fraction(n, 10) for n in range(30)]
            code, errors, folder = run(f"{url}/base_a.mp4", "--output", "b.mp4")
            assert code == 0 and len(packet_times(folder / "b.mp4", "audio")) == 142


class TestReading:
    """Times, and what the file or its name is."""

    @pytest.mark.parametrize(
        ("name", "told"),
        [("glitch_1000s.mp4", "1 frame with a wrong or repeated time"), ("raw.h264", ""), ("rec.webm", "")],
    )
    def test_one_person_for_three_seconds(self, run: Run, plain_boxes: Rows, name: str, told: str) -> None:
        code, errors, folder = run(CASES / "video" / name)
        warnings = [line for line in errors.splitlines() if line.startswith("warning: ")]
        assert code == 0 and len(warnings) == bool(told) and all(told in line for line in warnings)
        assert len(boxes_of(folder)) == 29 and mean_iou(boxes_of(folder), plain_boxes, lambda frame: (1, 1)) > 0.85
        record = json.loads((folder / "run.json").read_text())
        assert record["frames"] == 30 and record["source"]["frame_rate"] == "10"
        with (folder / "tracks.csv").open() as file:
            assert [float(row["time_s"]) for row in csv.DictReader(file)] == pytest.approx(np.arange(1, 30) / 10)
        assert [float(time) for time, _ in packet_times(folder / "video.mp4")] == pytest.approx(np.arange(30) / 10)
