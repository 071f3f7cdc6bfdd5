"""Videos that are completed in place: the room for the index, the order of writes, and the place on the disk."""

import os
from fractions import Fraction
from pathlib import Path

import av
import pytest

from tracker.errors import InputError
from tracker.output import encoder, mp4_index, open_writer, remux
from video_results import CONFIG, decode_images, make_frame, make_info, make_tracks, packet_times, write_result
from video_results import write_source as write_clip


def boxes(path: Path) -> list[bytes]:
    """Returns the types of the boxes of a file."""
    with path.open("rb") as file:
        return [box.kind for box in mp4_index.boxes_of_file(file)]


def write_video(path: Path, frames: int = 50, **changes: object) -> Path:
    with open_writer(path, make_info(**changes), ["person"], CONFIG) as writer:
        for index in range(frames):
            writer.write(make_frame(index, color=(index % 250, 90, 90)), make_tracks())
    return path


@pytest.mark.parametrize("suffix", [".mp4", ".mov"])
def test_an_index_without_room_is_at_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str) -> None:
    expected = write_video(tmp_path / f"a{suffix}")
    assert boxes(expected) == [b"ftyp", b"moov", b"mdat"]
    monkeypatch.setattr(encoder, "_room", lambda info: 64)
    found = write_video(tmp_path / f"b{suffix}")
    assert boxes(found) == [b"ftyp", b"mdat", b"moov"]
    assert packet_times(found) == packet_times(expected)
    assert [image.tobytes() for image in decode_images(found)] == [image.tobytes() for image in decode_images(expected)]


def test_the_room_grows_with_the_source(tmp_path: Path) -> None:
    day = make_info(expected_frames=24 * 3600 * 25)
    assert encoder._room(make_info()) == 2**13 < encoder._room(day) < 32 * day.expected_frames
    path = write_video(tmp_path / "a.mp4", 5, expected_frames=day.expected_frames)
    assert boxes(path) == [b"ftyp", b"moov", b"mdat"] and len(decode_images(path)) == 5
    assert b"mvex" not in path.read_bytes()  # no reader of a pipe takes it for a fragmented one
    assert path.stat().st_blocks * 512 < 100_000 < path.stat().st_size  # the rest is a hole


def test_the_sound_and_the_images_are_those_of_an_ordinary_file(tmp_path: Path) -> None:
    source = write_clip(tmp_path / "source.mp4", [n * 1001 for n in range(60)], Fraction(1, 30000), audio_codec="aac")
    result = write_result(source, tmp_path / "result.mp4")
    with av.open(str(source)) as one, av.open(str(result)) as other:
        sounds = [[bytes(packet) for packet in file.demux(audio=0) if packet.size] for file in (one, other)]
        assert sounds[0] == sounds[1]
        assert other.duration == pytest.approx(one.duration, abs=30_000)
    with av.open(str(result)) as container:  # at any place
        container.seek(1_000_000)
        frame = next(container.decode(video=0))
        assert frame.key_frame and frame.time is not None and frame.time <= 1


@pytest.mark.parametrize("step", range(1, 6))
@pytest.mark.parametrize("room", [64, 8192])
def test_a_write_that_fails_leaves_a_video_that_plays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: int, step: int
) -> None:
    source = write_clip(tmp_path / "source.mp4", [n * 1001 for n in range(60)], Fraction(1, 30000), audio_codec="aac")
    monkeypatch.setattr(encoder, "_room", lambda info: room)
    write, calls = os.pwrite, []

    def fail_later(descriptor: int, data: bytes, position: int) -> int:
        calls.append(len(data))
        if len(calls) == step + 1:  # the first one makes the room
            raise OSError(28, "No space left on device")
        return write(descriptor, data, position)

    monkeypatch.setattr(os, "pwrite", fail_later)
    try:
        result = write_result(source, tmp_path / "result.mp4")
        assert b"moof" not in boxes(result)
    except InputError as error:
        assert "No space left" in str(error)
        result = tmp_path / "result.mp4"
        assert b"moof" in boxes(result)
    assert len(decode_images(result)) == 60
    assert sorted(path.name for path in tmp_path.iterdir()) == ["result.mp4", "source.mp4"]


def test_the_second_file_holds_no_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[tuple[int, int]] = []
    finish = remux.finish_in_place

    def look(path: Path, index: Path, samples: list[mp4_index.Sample]) -> None:
        sizes.append((path.stat().st_size, index.stat().st_size))
        finish(path, index, samples)

    monkeypatch.setattr(remux, "finish_in_place", look)
    frames = [make_frame(n, 320, 240) for n in range(100)]
    with open_writer(tmp_path / "a.mp4", make_info(320, 240), ["person"], CONFIG) as writer:
        for frame in frames:
            frame.image[:] = (frame.image + frame.index * frame.image[::-1].cumsum(1)).astype("uint8")
            writer.write(frame, make_tracks())
    ((video, index),) = sizes
    assert index < 3000 < video / 10
