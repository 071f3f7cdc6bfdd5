"""Recordings of one camera as one source: the clocks in names and containers, groups of files, and their times."""

from datetime import UTC, datetime
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import pytest

from tracker.config import SourceConfig
from tracker.errors import InputError
from tracker.structures.end_reason import EndReason
from tracker.video.clock import name_clock, read_recording
from tracker.video.joined import JoinedFiles, join_recordings
from video_clips import frame_numbers, open_uri, write_clip

NAMES = [f"cam_2026-01-31_23-59-{second}.mp4" for second in ("50", "52", "57")]


def write_recordings(folder: Path, names: list[str] = NAMES) -> list[Path]:
    """Writes clips of 2 s; their images are numbered from 0, 10, 20 ..."""
    return [write_clip(folder / name, 20, 10) for name in names]


def with_creation_time(path: Path, text: str) -> Path:
    """Copies a clip into a container that states when it was recorded."""
    target = path.with_name(f"at-{path.name}")
    with av.open(str(path)) as source, av.open(str(target), "w") as container:
        container.metadata["creation_time"] = text
        stream = container.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(source.streams.video[0]):
            if packet.dts is not None:
                packet.stream = stream
                container.mux(packet)
    return target


def joined(paths: list[Path], **settings: object) -> JoinedFiles:
    return JoinedFiles(paths, str(paths[0]), "cam", SourceConfig.model_validate(settings))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("2026-01-31T23.59.50 north.mkv", datetime(2026, 1, 31, 23, 59, 50)),
        ("VID_20260131_235950.mp4", datetime(2026, 1, 31, 23, 59, 50)),
        ("20260131235950.mp4", datetime(2026, 1, 31, 23, 59, 50)),
        ("2026-01-31_23h59m50.mp4", datetime(2026, 1, 31, 23, 59, 50)),
        ("20261331_235950.mp4", None),
        ("1080p_1234567890123456.mp4", None),
        ("2026-01-31.mp4", None),
    ],
)
def test_clocks_in_names(name: str, expected: datetime | None) -> None:
    assert name_clock(name) == expected


def test_the_clock_of_a_source(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4")
    with open_uri(clip) as source:
        assert source.start_time is None
    with open_uri(with_creation_time(clip, "2026-01-31T23:59:50Z")) as source:
        assert source.start_time == datetime(2026, 1, 31, 23, 59, 50, tzinfo=UTC)
    with open_uri(write_recordings(tmp_path)[0]) as source:
        assert source.start_time == datetime(2026, 1, 31, 23, 59, 50)
    with open_uri(clip, start_time="2026-02-01 08:00") as source:
        assert source.start_time == datetime(2026, 2, 1, 8)


def test_files_of_one_camera_are_groups(tmp_path: Path) -> None:
    paths = write_recordings(tmp_path)
    other = write_clip(tmp_path / "other_2026-01-31_23-59-54.mp4", 5)
    unknown = write_clip(tmp_path / "clip.mp4", 5)
    broken = tmp_path / "cam_2026-01-31_23-59-59.mp4"
    broken.write_text("no video")
    files = [unknown, *reversed(paths), other, broken]
    assert join_recordings(files, 60) == [[unknown], paths, [other], [broken]]
    assert join_recordings(files, 1) == [[unknown], [paths[2]], paths[:2], [other], [broken]]
    assert read_recording(paths[0]).seconds == 2


def test_times_and_frames_go_on_from_file_to_file(tmp_path: Path) -> None:
    paths = write_recordings(tmp_path)
    with joined(paths) as source:
        assert source.expected_frames == pytest.approx(60, abs=3) and source.files == tuple(paths)
        frames = list(source)
        with source.reopen() as again:
            assert [frame.time for frame in again] == [frame.time for frame in frames]
    assert [frame.index for frame in frames] == list(range(60))
    # The second file follows at once, the third one 3 s after the end of the second.
    expected = [Fraction(n, 10) + (3 if n >= 40 else 0) for n in range(60)]
    assert [frame.time for frame in frames] == pytest.approx(list(map(float, expected)))
    assert frame_numbers(frames) == list(range(20)) * 3
    assert float(source.last_duration) == pytest.approx(0.1) and source.end_reason is EndReason.COMPLETE
    with joined(paths, start=1.5, end=7.25, every=2) as source:
        assert [frame.index for frame in source] == [*range(15, 40, 2), 41]


def test_an_unknown_clock_a_truncated_file_and_a_broken_one(tmp_path: Path) -> None:
    paths = [write_clip(tmp_path / f"{name}.mkv", 60 if name == "b" else 20) for name in "abc"]
    data = paths[1].read_bytes()
    paths[1].write_bytes(data[: len(data) // 2])
    with joined(paths) as source:
        frames = list(source)
    times = [frame.time for frame in frames]
    assert len(frames) > 45 and all(before < after for before, after in pairwise(times))
    assert source.end_reason is EndReason.TRUNCATED
    paths[1].write_text("no video")
    with joined(paths) as source, pytest.raises(InputError, match=r"b\.mkv is not a video"):
        list(source)
