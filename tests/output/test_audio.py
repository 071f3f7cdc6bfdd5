"""Sound of the written video: times that restart, jump or are missing; codecs and streams that do not fit."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from tracker.output.audio_clock import AudioClock, VideoClock
from tracker.output.base import AudioSource
from tracker.output.remux import _Muxer
from tracker.output.writer import open_writer
from tracker.structures.types import Frame
from video_clips import write_tone
from video_results import (
    CONFIG,
    NTSC,
    container_duration,
    flash_and_tone_times,
    make_info,
    make_tracks,
    start_times,
    write_result,
    write_source,
)

UNIT = Fraction(1, 1000)
PTS = [i * 1001 for i in range(60)]


def mend(times: Sequence[int | None], offsets: Sequence[Fraction] = (), duration: int = 20) -> list[int]:
    """Returns the times, milliseconds, that a clock gives to packets of 20 ms."""
    clock = AudioClock(VideoClock(offsets))
    mended: list[int] = []

    def packets() -> list[av.Packet]:
        result = []
        for time in times:
            packet = av.Packet(b"sound")
            packet.time_base, packet.pts, packet.duration = UNIT, time, duration
            result.append(packet)
        return result

    for packet in packets():
        mended += [settled.pts for settled in clock.push(packet)]
    mended += [settled.pts for settled in clock.flush()]
    assert all(np.diff(mended) > 0)
    return mended


def run_of(start: int, count: int = 40) -> list[int]:
    return [start + 20 * n for n in range(count)]


def test_ordinary_times_stay_as_they_are() -> None:
    assert mend(run_of(-7)) == run_of(-7)
    rounded = [round(n * 21.333) for n in range(100)]
    assert mend(rounded, duration=21) == rounded


def test_holes_stay_holes() -> None:
    for hole in (60, 500, 5_000, 36_000_000):
        times = run_of(0) + run_of(800 + hole)
        assert mend(times) == times
    sparse = [400 * n for n in range(50)]  # silence that is not transmitted
    assert mend(sparse) == sparse


@pytest.mark.parametrize("wrong", [1_000_000, 3_000, 300, -500_000, -3_000])
@pytest.mark.parametrize("count", [1, 4])
def test_wrong_times_do_not_move_what_follows(wrong: int, count: int) -> None:
    times = run_of(0, 80)
    for n in range(count):
        times[30 + n] += wrong
    assert mend(times) == run_of(0, 80)
    times = run_of(0)
    times[-1] += wrong
    assert mend(times) == (times if wrong == 300 else run_of(0))  # the last one may be after a hole


def test_times_that_are_missing() -> None:
    assert mend([0, None, None, 60, None, 100]) == [0, 20, 40, 60, 80, 100]


def test_a_restart_of_the_clock_follows_the_video() -> None:
    """The second part's video begins 5 ms after the end of the first one's; its sound began 30 ms before it."""
    times = run_of(0, 60) + run_of(-30, 60) + run_of(-30, 60)
    assert mend(times, [Fraction("1.2"), Fraction("2.4")]) == [*run_of(0, 60), *run_of(1190, 59), *run_of(2370, 60)]
    video_goes_on_longer = [Fraction(3), Fraction(6)]
    assert mend(times, video_goes_on_longer) == run_of(0, 60) + run_of(2970, 60) + run_of(5970, 60)


def test_a_restart_of_the_sound_alone_continues_without_a_gap() -> None:
    assert mend(run_of(5000, 60) + run_of(0, 60)) == run_of(5000, 120)


def test_time_that_has_passed_is_dropped_after_a_jump_back() -> None:
    assert mend(run_of(0, 50) + run_of(600, 50)) == run_of(0, 80)


def test_times_that_are_equal_keep_their_sound() -> None:
    times = [40 * (n // 2) for n in range(60)]  # two packets have the time of the first one
    assert mend(times) == run_of(0, 60)


# --- whole files


PART = 60 * Fraction(3003, 90000)
"""Seconds of a recording that `write_parts` writes."""


def write_parts(path: Path, codecs: Sequence[str]) -> Path:
    """Writes recordings of 2 s, joined byte by byte: in each a flash and a tone come 1.3 s after its beginning."""
    parts = [
        write_source(
            path.with_name(f"{number}.ts"), [n * 3003 for n in range(60)], Fraction(1, 90000), codec, 0.0, 2.0, 1.3
        )
        for number, codec in enumerate(codecs)
    ]
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    return path


def write_joined(source: Path, target: Path) -> Path:
    """Writes a result as the pipeline does for a source whose clock restarts every 60 frames."""
    with av.open(str(source)) as container:
        stream = container.streams.video[0]
        images = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
        first = stream.start_time
    offsets = [number * PART for number in range(1, len(images) // 60)]
    audio = AudioSource(str(source), lambda: av.open(str(source)), offsets)
    with open_writer(target, make_info(time_base=Fraction(1, 90000), audio=audio), ["person"], CONFIG) as writer:
        for n, image in enumerate(images):
            writer.write(Frame(n, n * 3003 / 90000, first + n * 3003, image), make_tracks())
    return target


def tone_times(path: Path) -> list[float]:
    """Returns the times at which a tone begins, seconds of the file."""
    times: list[float] = []
    was_loud = False
    with av.open(str(path)) as container:
        for frame in container.decode(audio=0):
            samples = frame.to_ndarray().astype(np.float64)[0]
            is_loud = np.abs(samples).max() > (0.2 if frame.format.name.startswith("flt") else 6000)
            if is_loud and not was_loud:
                times.append(float(frame.pts * frame.time_base))
            was_loud = bool(is_loud)
    return times


@pytest.mark.parametrize(
    ("codecs", "suffix"),
    [
        (["aac", "aac"], ".mp4"),
        (["aac", "aac"], ".mkv"),
        (["mp2", "mp2", "mp2"], ".mov"),  # which it does not take
        (["aac", "", "aac"], ".mp4"),  # one has no sound
    ],
)
def test_joined_recordings_stay_in_sync(tmp_path: Path, codecs: list[str], suffix: str) -> None:
    result = write_joined(write_parts(tmp_path / "joined.ts", codecs), tmp_path / f"joined{suffix}")
    times = start_times(result)
    assert len(times) == 60 * len(codecs)
    offset = float(times[0])  # the sound begins before the video
    expected = [offset + number * float(PART) + 1.3 for number, codec in enumerate(codecs) if codec]
    assert tone_times(result) == pytest.approx(expected, abs=0.05)
    assert all(np.diff([float(time) for time in start_times(result, "audio")]) > 0)


def test_joined_recordings_of_two_formats_are_transcoded(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source = write_parts(tmp_path / "joined.ts", ["aac", "aac"])
    other = tmp_path / "other.ts"
    with av.open(str(other), "w") as container:
        write_tone(container, container.add_stream("aac", rate=44100), 2.0)
    # The second half gets sound of another rate and of two channels, in the packets of the same stream.
    first, second = (tmp_path / "0.ts").read_bytes(), (tmp_path / "1.ts").read_bytes()
    with av.open(str(tmp_path / "1.ts")) as video, av.open(str(other)) as sound, av.open(str(source), "w") as joined:
        streams = [joined.add_stream_from_template(s.streams[0]) for s in (video, sound)]
        packets = [p for s in (video, sound) for p in s.demux(s.streams[0]) if p.dts is not None]
        for packet in sorted(packets, key=lambda packet: packet.dts * packet.time_base):
            packet.stream = streams[packet.stream.type == "audio"]
            joined.mux(packet)
    source.write_bytes(first + source.read_bytes())
    assert second
    result = write_joined(source, tmp_path / "a.mp4")
    with av.open(str(result)) as container:
        assert (container.streams.audio[0].rate, container.streams.audio[0].channels) == (48000, 1)
    audio = [float(time) for time in start_times(result, "audio")]
    assert audio[-1] == pytest.approx(4.0, abs=0.08) and max(np.diff(audio)) < 0.06
    assert "cannot be copied into" in caplog.text and "(its format changes): it becomes AAC" in caplog.text


def test_damaged_packets_are_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source = write_source(tmp_path / "source.ts", PTS, NTSC, "aac", audio_seconds=2.0)
    data = bytearray(source.read_bytes())
    headers = [n for n in range(188 * 40, len(data)) if data[n : n + 2] == b"\xff\xf1"]
    for position in headers[10:13]:  # a sample rate that does not exist
        data[position + 2] |= 0x3C
    source.write_bytes(data)
    before = len(start_times(write_source(tmp_path / "intact.ts", PTS, NTSC, "aac"), "audio"))
    result = write_result(source, tmp_path / "a.mp4")
    assert before - 20 < len(start_times(result, "audio")) < before
    with av.open(str(result)) as container:
        assert container.streams.audio[0].codec_context.name == "aac" and "becomes AAC" not in caplog.text


@pytest.mark.parametrize(
    ("codec", "source", "target", "result"),
    [
        ("libopus", "a.mkv", "a.mov", "aac"),
        ("libopus", "a.mkv", "a.mp4", "opus"),
        ("pcm_s16le", "a.mov", "a.mp4", "aac"),
        ("flac", "a.mkv", "a.mov", "aac"),
        ("mp2", "a.ts", "a.mp4", "aac"),
        ("ac3", "a.ts", "a.mov", "ac3"),
    ],
)
def test_a_codec_that_does_not_fit_is_transcoded_and_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, codec: str, source: str, target: str, result: str
) -> None:
    folder = tmp_path / "source"
    folder.mkdir()
    path = write_source(folder / source, PTS, NTSC, codec, flash_time=PTS[40] * NTSC)
    written = write_result(path, tmp_path / target)
    with av.open(str(written)) as container:
        assert [stream.codec_context.codec.canonical_name for stream in container.streams.audio] == [result]
    assert container_duration(written) == pytest.approx(container_duration(path), abs=0.06)
    told = [record.message for record in caplog.records if record.levelname == "WARNING"]
    fits = result == codec.removeprefix("lib")
    assert told == ([] if fits else [told[0]]) and all("becomes AAC" in text and str(path) in text for text in told)
    flash, tone = flash_and_tone_times(written)
    assert abs(flash - tone) < 0.05


def test_a_hole_stays_when_the_sound_is_transcoded(tmp_path: Path) -> None:
    source = tmp_path / "hole.mkv"
    with av.open(str(source), "w") as container:
        video = container.add_stream("libx264", rate=10, width=64, height=48, pix_fmt="yuv420p")
        audio = container.add_stream("pcm_s16le", rate=48000, layout="mono")
        for _ in range(60):
            container.mux(video.encode(av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), format="rgb24")))
        container.mux(video.encode(None))
        for start in (0, 4):
            for block in range(48):
                frame = av.AudioFrame.from_ndarray(np.full((1, 1000), 9000, np.int16), format="s16", layout="mono")
                frame.sample_rate, frame.pts = 48000, start * 48000 + block * 1000
                container.mux(audio.encode(frame))
    written = write_result(source, tmp_path / "a.mp4")
    times = np.array(start_times(written, "audio"), float)
    gap = int(np.argmax(np.diff(times)))
    assert times[gap] == pytest.approx(1, abs=0.05) and times[gap + 1] == pytest.approx(4, abs=0.05)
    assert times[-1] == pytest.approx(5, abs=0.05)


def test_a_hole_that_is_longer_than_the_container_can_hold(tmp_path: Path) -> None:
    """The sample before it would last longer than 31 bits of 1/96000 s: 6.2 hours."""
    source = tmp_path / "hole.mkv"
    hours = 30
    with av.open(str(source), "w") as container:
        video = container.add_stream("libx264", rate=10, width=64, height=48, pix_fmt="yuv420p", options={"bf": "0"})
        audio = container.add_stream("aac", rate=96000, layout="mono")
        video.codec_context.time_base = Fraction(1, 1000)
        packets = []
        for start in (0, hours * 3600):
            for n in range(5):
                frame = av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), format="rgb24")
                frame.pts, frame.time_base = start * 1000 + n * 100, Fraction(1, 1000)
                packets += video.encode(frame)
            for n in range(40):
                sound = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
                sound.sample_rate, sound.pts = 96000, start * 96000 + n * 1024
                sound.time_base = Fraction(1, 96000)
                packets += audio.encode(sound)
        packets += video.encode(None) + audio.encode(None)
        for packet in sorted(packets, key=lambda packet: packet.dts * packet.time_base):
            container.mux(packet)
    for name in ("a.mp4", "a.mov", "a.mkv"):
        written = write_result(source, tmp_path / name)
        video_times, audio_times = start_times(written), np.array(start_times(written, "audio"), float)
        assert len(video_times) == 10
        assert float(video_times[5] - video_times[4]) == pytest.approx(hours * 3600 - 0.4, abs=0.001)
        assert audio_times[-1] == pytest.approx(hours * 3600 + 0.42, abs=0.05)


def test_a_stream_without_a_decoder_is_left_out_and_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source = write_source(tmp_path / "source.mkv", PTS, NTSC, "aac")
    source.write_bytes(source.read_bytes().replace(b"A_AAC", b"A_ZZZ"))
    for suffix in (".mp4", ".mov", ".mkv"):
        result = write_result(source, tmp_path / f"a{suffix}")
        with av.open(str(result)) as container:
            assert len(container.streams.audio) == 0
        assert len(start_times(result)) == 60
        told = [record.message for record in caplog.records]
        assert told == [f"the audio stream 1 of {source} is left out: there is no decoder for it"]
        caplog.clear()


def test_streams_that_are_neither_video_nor_audio_are_left_out_and_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = tmp_path / "source.ts"
    plain = write_source(tmp_path / "plain.mp4", PTS, NTSC)
    with av.open(str(plain)) as video, av.open(str(source), "w") as container:
        stream, data = container.add_stream_from_template(video.streams.video[0]), container.add_data_stream("klv")
        for packet in video.demux():
            if packet.dts is not None:
                packet.stream = stream
                container.mux(packet)
        position = av.Packet(b"position")
        position.stream, position.pts, position.dts, position.time_base = data, 100, 100, UNIT
        container.mux(position)
    write_result(source, tmp_path / "a.mp4")
    assert [record.message for record in caplog.records] == [
        f"the video does not get these streams of {source}: 1 data"
    ]


def test_sound_that_the_muxer_refuses_is_transcoded_and_then_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, tries = _Muxer.write, []

    def refuse(muxer: _Muxer, source: object = None, may_copy: bool = True) -> None:
        tries.append((source is not None, may_copy))
        if source is not None:
            raise av.error.ArgumentError(22, "Invalid argument")
        write(muxer)

    monkeypatch.setattr(_Muxer, "write", refuse)
    source = write_source(tmp_path / "source.mp4", PTS, NTSC, "aac")
    result = write_result(source, tmp_path / "a.mp4")
    assert tries == [(True, True), (True, False), (False, True)]
    assert len(start_times(result)) == 60
    assert [record.message.rpartition(": ")[2] for record in caplog.records] == ["it becomes AAC", "it is left out"]
