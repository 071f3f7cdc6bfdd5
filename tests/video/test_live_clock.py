"""The clock of live sources."""

from itertools import pairwise

import pytest

from tracker.video.live_clock import WINDOW, LiveClock


def place(clock: LiveClock, pairs: list[tuple[float, float]], interval: float = 0.1) -> list[float]:
    return [round(clock.place(stamp, arrival, interval), 6) for stamp, arrival in pairs]


def test_bursts_keep_their_intervals() -> None:
    clock = LiveClock(slack=30)
    clock.begin(waiting=(2.9, 100.0))
    frames = [(n / 10, 100.0 + n // 30 * 3) for n in range(90)]  # thirty come at once every three seconds
    assert place(clock, frames) == pytest.approx([n / 10 for n in range(90)])


def test_the_date_is_that_of_the_least_delay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.time", lambda: 5000.0)
    monkeypatch.setattr("time.monotonic", lambda: 100.0)
    clock = LiveClock(slack=30)
    clock.begin(waiting=(2.9, 100.0))
    clock.place(0.0, 100.0, 0.1)
    assert clock.unix_time() == pytest.approx(5000 - 2.9)


def test_dates_keep_their_intervals_when_a_lesser_delay_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A playlist that is read sooner after a segment was complete: the frames of it come at once."""
    monkeypatch.setattr("time.time", lambda: 5000.0)
    monkeypatch.setattr("time.monotonic", lambda: 100.0)
    clock = LiveClock(slack=30)
    clock.begin(waiting=(1.9, 12.7))
    dates = []
    for number in range(200):
        segment = number // 20
        clock.place(number / 10, 2 * segment + (12.7 if segment < 3 else 12.2), 0.1)
        dates.append(clock.unix_time())
    steps = [later - earlier for earlier, later in pairwise(dates)]
    assert steps == pytest.approx([0.1] * 199, abs=0.0101)
    assert dates[79] == pytest.approx(4900 + 7.9 + 10.8, abs=0.5) and dates[-1] == pytest.approx(4900 + 19.9 + 10.3)


def test_a_new_connection_is_placed_by_the_clock_of_the_machine() -> None:
    clock = LiveClock(slack=1)
    clock.begin()
    assert place(clock, [(50.0, 10.0), (50.1, 10.1)]) == [0, 0.1]
    clock.begin()
    assert place(clock, [(0.0, 17.0), (0.1, 17.1)]) == pytest.approx([7.0, 7.1])


def test_a_playlist_goes_on_where_it_was_left() -> None:
    clock = LiveClock(slack=30)
    clock.begin()
    assert place(clock, [(50.0, 10.0), (50.1, 10.1)]) == [0, 0.1]
    clock.begin(waiting=(57.0, 17.1), continues=True)
    assert clock.is_repeated(50.1) and not clock.is_repeated(50.2)
    assert place(clock, [(50.2, 17.0), (57.0, 17.1)]) == pytest.approx([0.2, 7.0])
    clock.begin(waiting=(3.0, 40.0), continues=True)  # the encoder began anew
    assert not clock.is_repeated(0.0)
    assert place(clock, [(0.0, 40.0), (3.0, 40.0)]) == pytest.approx([27.0, 30.0])


def test_a_playlist_goes_on_after_a_restart_of_the_program(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.time", lambda: 5000.0)
    monkeypatch.setattr("time.monotonic", lambda: 100.0)
    clock = LiveClock(slack=30)
    clock.resume(50.1, unix_time=4990.1)
    clock.begin(waiting=(58.0, 98.4), continues=True)  # a segment that was complete .4 s after its last frame
    assert clock.is_repeated(50.1) and not clock.is_repeated(50.2)
    assert place(clock, [(50.2, 98.4), (58.0, 98.4)]) == pytest.approx([0, 7.8])
    assert clock.unix_time() == pytest.approx(4998.0) and clock.drift == 0 and clock.offset == pytest.approx(50.2)


@pytest.mark.parametrize(("waiting", "continues"), [((3.0, 100.0), True), ((58.0, 98.0), False), (None, True)])
def test_another_stream_after_a_restart_has_its_own_clock(
    monkeypatch: pytest.MonkeyPatch, waiting: tuple[float, float] | None, continues: bool
) -> None:
    monkeypatch.setattr("time.time", lambda: 5000.0)
    monkeypatch.setattr("time.monotonic", lambda: 100.0)
    clock = LiveClock(slack=30)
    clock.resume(50.1, unix_time=4990.1)
    clock.begin(waiting, continues)
    assert not clock.is_repeated(3.0)
    assert place(clock, [(3.0, 100.0), (3.1, 100.1)]) == pytest.approx([0, 0.1])
    assert clock.unix_time() == pytest.approx(5000.1 if waiting != (58.0, 98.0) else 4943.1)


@pytest.mark.parametrize("jump", [-1000.0, 1000.0])
def test_a_clock_that_starts_again_is_a_jump_and_a_pause_is_none(jump: float) -> None:
    clock = LiveClock(slack=1)
    clock.begin()
    place(clock, [(50.0, 10.0), (50.1, 10.1)])
    assert not clock.is_jump(60.1, 20.1) and not clock.is_jump(50.2, 20.1)
    assert clock.is_jump(50.2 + jump, 10.2)
    clock.begin()
    assert place(clock, [(50.2 + jump, 10.2), (50.3 + jump, 10.3)]) == pytest.approx([0.2, 0.3])


def test_repeated_and_earlier_timestamps_still_ascend() -> None:
    clock = LiveClock(slack=1)
    clock.begin()
    times = place(clock, [(5.0, 10.0), (5.0, 10.0), (4.9, 10.1), (5.1, 10.1)])
    assert all(later > earlier for earlier, later in pairwise(times))


def test_drift_is_measured() -> None:
    clock = LiveClock(slack=1)
    clock.begin()
    rate = 1.0005  # the stream's clock is slower than the machine's
    place(clock, [(n / 10, 100 + n / 10 * rate) for n in range(int(4 * WINDOW * 10))])
    assert clock.drift == pytest.approx(3 * WINDOW * 0.0005, abs=0.04)
