"""Runs over pipes: the same results as over the file, with its sound, and offline too."""

import os
from pathlib import Path
from typing import Any

import av
import pytest

from named_pipes import fifo
from stub_networks import moving_clip
from tracker import Config, InputError, track, track_to_files
from tracker.video.recording import Recording

pytestmark = [
    pytest.mark.usefixtures("stubbed"),
    pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes"),
]


def results(source: Path, folder: Path, **sections: dict[str, Any]) -> tuple[str, list[tuple[str, float, bytes]]]:
    """Returns the table, and stream, time and content of each packet of the video."""
    outputs = [str(folder / "tracks.csv"), str(folder / "video.mkv")]
    track_to_files(source, Config.model_validate({"output": {"output": outputs}, **sections}))
    with av.open(outputs[1]) as container:
        packets = [packet for packet in container.demux() if packet.size]
        content = [(packet.stream.type, float(packet.pts * packet.time_base), bytes(packet)) for packet in packets]
    return Path(outputs[0]).read_text(), content


@pytest.mark.parametrize("name", ["clip.mp4", "clip.ts"])
@pytest.mark.parametrize("offline", [False, True])
def test_results_are_those_of_the_file(tmp_path: Path, name: str, offline: bool) -> None:
    clip = moving_clip(tmp_path / name, 20, audio=2.0)
    for folder in ("file", "pipe"):
        (tmp_path / folder).mkdir()
    sections = {"tracker": {"offline": offline}}
    expected = results(clip, tmp_path / "file", **sections)
    with fifo(tmp_path, clip.read_bytes()) as pipe:
        assert results(pipe, tmp_path / "pipe", **sections) == expected
    assert {kind for kind, _, _ in expected[1]} == {"video", "audio"}


def test_tables_alone_keep_no_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = []
    forget = Recording.forget
    monkeypatch.setattr(Recording, "forget", lambda recording: (kept.append(recording.size), forget(recording)))
    clip = moving_clip(tmp_path / "clip.mkv", 20, audio=2.0)
    with fifo(tmp_path, clip.read_bytes()) as pipe:
        track_to_files(pipe, Config.model_validate({"output": {"output": [str(tmp_path / "tracks.csv")]}}))
    assert len(kept) == 2 and kept[0] == kept[1]  # when the frames are asked for, and when all is closed


def test_source_is_read_once_by_the_generator(tmp_path: Path) -> None:
    clip = moving_clip(tmp_path / "clip.mkv", 20)
    with fifo(tmp_path, clip.read_bytes()) as pipe:
        assert [frame.index for frame, _ in track(pipe)] == list(range(20))
    pipe.unlink()
    with fifo(tmp_path, b"") as pipe, pytest.raises(InputError, match="is empty"):
        next(track(pipe))
