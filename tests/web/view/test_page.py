"""The page of a run in Chromium: the frame that is shown, repairs by mouse and keys, and no error in the console."""

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

pytest.importorskip("fastapi", reason="the extra [web] is not installed")
pytest.importorskip("playwright", reason="the package playwright is not installed")

from playwright.sync_api import sync_playwright

from stub_networks import moving_rectangles
from tracker import Config, track_to_files
from tracker.config import WebConfig
from tracker.pipeline.repaired_run import export_run
from tracker.web import WebServer
from tracker.web.view import create_view_app, find_runs
from video_clips import NTSC, Image, write_clip

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not CHROMIUM, reason="there is no Chromium: apt-get install chromium"),
]
SIZE = (160, 120)
FRAMES = 60
VARIABLE = np.cumsum([0, *(20 + 15 * (n % 4) + (300 if n == 31 else 0) for n in range(FRAMES - 1))]).tolist()
CLIPS: dict[str, dict[str, Any]] = {
    "constant": {"rate": 25},
    "ntsc": {"rate": NTSC},
    "variable": {"pts": VARIABLE, "time_base": Fraction(1, 1000)},
    "copied": {"pts": [n + 90 for n in VARIABLE], "time_base": Fraction(1, 1000), "codec": "mpeg4"},
}
READ_NUMBER = """() => {
  const video = document.getElementById("video"), canvas = document.createElement("canvas");
  canvas.width = 160; canvas.height = 120;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(video, 0, 0, 160, 120);
  let number = 0;
  for (let bit = 0; bit < 8; bit++) number += (context.getImageData(bit * 20 + 10, 114, 1, 1).data[0] > 100) << bit;
  return number;
}"""


def numbered_scene(number: int, width: int, height: int) -> Image:
    """Returns an image of two moving rectangles, with its number as gray columns in the lowest rows."""
    image = moving_rectangles(number, width, height)
    for bit in range(8):
        image[108:, bit * 20 : bit * 20 + 20] = 140 if number >> bit & 1 else 30
    return image


@pytest.fixture(scope="module", name="browser")
def open_browser() -> Iterator[Any]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(name="open_page")
def page_opener(
    stubbed: None, browser: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., tuple[Any, Path]]]:
    """Tracks a clip, and opens its page; an error in the console or a request that fails fails the test."""
    monkeypatch.chdir(tmp_path)
    problems: list[str] = []
    opened: list[Any] = []

    def open_page(
        kind: str = "constant", refused: str = "", config: Config | None = None, **options: Any
    ) -> tuple[Any, Path]:
        write_clip(tmp_path / "video.mp4", FRAMES, size=SIZE, draw=numbered_scene, **CLIPS[kind])
        track_to_files("video.mp4", config or Config())
        runs = find_runs([Path("tracked/video")])
        server = WebServer(create_view_app(runs), WebConfig(port=0))
        opened.extend([server.__enter__(), runs[0]])
        context = browser.new_context(**({"viewport": {"width": 1280, "height": 800}} | options))
        page = context.new_page()
        opened.append(context)

        def note_message(message: Any) -> None:
            if message.type in ("error", "warning") and not (refused and "409" in message.text):
                problems.append(message.text)

        page.on("console", note_message)
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("response", lambda answer: problems.append(answer.url) if is_wrong(answer, refused) else 0)
        page.goto(server.url)
        wait(page, "document.body.dataset.ready && document.getElementById('video').readyState >= 2")
        return page, Path("tracked/video")

    yield open_page
    if opened:
        opened[2].close()
        opened[0].__exit__()
        opened[1].close()
    assert not problems


def is_wrong(answer: Any, refused: str) -> bool:
    return answer.status >= 400 and not (refused and answer.status == 409 and answer.url.endswith(refused))


def wait(page: Any, condition: str) -> None:
    """Waits for a condition on the page, whose policy does not let scripts in it evaluate texts."""
    until = time.monotonic() + 30
    while not page.evaluate(condition):
        assert time.monotonic() < until, condition
        page.wait_for_timeout(50)


def seek(page: Any, seconds: float) -> None:
    """Shows the frame at a time as a user would: a click on the timeline cannot be as exact."""
    page.evaluate(
        """async (time) => {
          const video = document.getElementById("video");
          const shown = new Promise((resolve) => video.requestVideoFrameCallback(resolve));
          video.currentTime = time;
          await shown;
        }""",
        seconds,
    )
    wait(page, "document.getElementById('frame').textContent !== '-'")


@pytest.mark.parametrize("kind", CLIPS)
def test_the_frame_of_the_page_is_that_of_the_picture_and_of_the_table(open_page: Any, kind: str) -> None:
    page, run = open_page(kind)
    parts = pq.read_table(run / "detections", columns=["frame", "time_s"]).to_pydict()
    times = dict(zip(parts["frame"], parts["time_s"], strict=True))
    wrong = []
    for frame in np.random.default_rng(5).choice(FRAMES, 10, replace=False).tolist():
        end = times.get(frame + 1, times[frame] + 0.02)
        seek(page, (times[frame] + end) / 2 + offset_of(page))
        shown, number = int(page.inner_text("#frame")), page.evaluate(READ_NUMBER)
        if not shown == number == frame:
            wrong.append((frame, shown, number))
    assert not wrong


def offset_of(page: Any) -> float:
    return float(page.evaluate("fetch('/api/runs/0/media').then((answer) => answer.json())")["offset"])


def wait_for_version(page: Any, version: int) -> None:
    wait(page, f"document.body.dataset.version === '{version}'")
    page.wait_for_load_state("networkidle")


def test_repairs_by_keys_and_mouse_are_those_of_the_command(open_page: Any, track: Any, tmp_path: Path) -> None:
    page, run = open_page("ntsc")
    count = int(page.inner_text("#track-count"))
    page.click(".track:has-text('1 person')")
    for _ in range(5):
        page.keyboard.press("ArrowRight")
        page.wait_for_timeout(150)
    frame = int(page.inner_text("#frame"))
    page.keyboard.press("s")
    wait_for_version(page, 1)
    page.keyboard.press("z")
    wait_for_version(page, 2)
    page.keyboard.press("Shift+Z")
    wait_for_version(page, 3)
    assert int(page.inner_text("#track-count")) == count + 1
    new = json.loads((run / "edits.jsonl").read_text().splitlines()[0])["new_id"]
    page.click(".track:has-text('2 car')")
    page.keyboard.press("c")
    page.fill("#ask-value", "truck")
    page.keyboard.press("Enter")
    wait_for_version(page, 4)
    page.click(".track:has-text('1 person')")
    page.click(f".track:has-text('{new} person')", modifiers=["Shift"])
    page.click("[data-verb=swap]")
    wait_for_version(page, 5)
    page.reload()
    wait(page, "document.body.dataset.ready")
    assert page.inner_text("#edit-count") == "3" and page.locator(".track:has-text('2 truck')").count() == 1
    page.click("#export")
    wait(page, "document.getElementById('message').textContent.startsWith('wrote')")
    names = ("tracks.csv", "tracks.parquet", "tracks_summary.parquet", "summary.csv", "tracks.json")
    of_page = [(run / "repaired" / name).read_bytes() for name in names]
    swap = json.loads((run / "edits.jsonl").read_text().splitlines()[-1])
    (run / "edits.jsonl").unlink()
    track("edit", run, "split", 1, "--frame", frame)
    track("edit", run, "class", 2, "truck")
    track("edit", run, "swap", 1, new, "--frame", swap["frame"])
    export_run(run, overwrite=True)
    assert [(run / "repaired" / name).read_bytes() for name in names] == of_page


def test_tracks_that_never_meet_are_merged_by_keys_alone(open_page: Any) -> None:
    page, run = open_page("variable")

    def answer(key: str, value: object) -> None:
        page.keyboard.press(key)
        wait(page, "document.getElementById('ask').open")
        page.keyboard.type(str(value))
        page.keyboard.press("Enter")
        wait(page, "!document.getElementById('ask').open")

    answer("t", 1)
    wait(page, "document.getElementById('selection').textContent === 'track 1'")
    answer("g", 32)
    wait(page, "document.getElementById('frame').textContent === '32'")
    page.keyboard.press("s")
    wait_for_version(page, 1)
    new = json.loads((run / "edits.jsonl").read_text())["new_id"]
    answer("g", FRAMES)
    wait(page, f"document.getElementById('message').textContent === 'there is no frame {FRAMES}'")
    answer("t", 999)
    wait(page, "document.getElementById('message').textContent === 'there is no track 999'")
    answer("t", 1)
    wait(page, "document.getElementById('selection').textContent === 'track 1'")
    answer("Shift+T", new)
    wait(page, f"document.getElementById('selection').textContent === 'tracks 1 and {new}'")
    page.keyboard.press("m")
    wait_for_version(page, 2)
    page.keyboard.press("e")
    wait(page, "document.getElementById('message').textContent.startsWith('wrote')")
    exported = pq.read_table(run / "repaired" / "tracks.parquet", columns=["frame", "track_id"])
    assert exported.equals(pq.read_table(run / "tracks.parquet", columns=["frame", "track_id"]))


def test_the_later_of_two_windows_is_told(open_page: Any, track: Any) -> None:
    page, run = open_page(refused="/edit")
    count = int(page.inner_text("#track-count"))
    page.click(".track >> nth=0")
    assert track("edit", run, "delete", 2, "--author", "ann")[0] == 0
    page.keyboard.press("Delete")
    wait(page, "document.getElementById('message').textContent.includes('ann added \\'delete 2\\'')")
    wait_for_version(page, 1)
    assert int(page.inner_text("#track-count")) == count - 1
    page.keyboard.press("Delete")
    wait_for_version(page, 2)


def test_doubtful_moments_and_a_box_that_is_drawn(open_page: Any) -> None:
    page, _ = open_page()
    page.click(".track >> nth=0")
    page.keyboard.press("b")
    place = page.locator("#boxes").bounding_box()
    page.mouse.move(place["x"] + place["width"] / 2, place["y"] + 40)
    page.mouse.down()
    page.mouse.move(place["x"] + place["width"] / 2 + 60, place["y"] + 140)
    page.mouse.up()
    wait_for_version(page, 1)
    page.keyboard.press("n")
    wait(page, "document.getElementById('message').textContent.includes('moves by')")
    assert page.inner_text("#selection") == "track 1"


def test_why_a_track_was_matched_in_the_frame_that_is_shown(open_page: Any, track: Any) -> None:
    page, run = open_page("variable")
    page.keyboard.press("w")
    assert "Select a track" in page.inner_text("#why")
    seek(page, 1.0)
    page.keyboard.press("]")
    wait(page, "document.querySelectorAll('#why table tr').length > 3")
    frame, chosen = int(page.inner_text("#frame")), page.inner_text("#selection").split()[-1]
    wait(page, f"document.querySelector('#why h3').textContent.startsWith('Frame {frame},')")
    track("why", run, chosen, "--output", "why.json")
    told = json.loads(Path("why.json").read_text())
    row = next(one for one in told["decisions"] if one["frame"] == frame and one["event"] == "matched")
    cells = dict(line.split("\t")[:2] for line in page.inner_text("#why table").splitlines()[1:])
    assert float(cells["cost"]) == pytest.approx(row["cost"], abs=0.006)
    assert float(cells["overlap"]) == pytest.approx(row["overlap"], abs=0.006)
    assert row["text"] in page.inner_text("#why .now") and page.locator("#why li").count() == len(told["account"])
    page.click("#why li >> nth=0")
    wait(page, f"document.getElementById('frame').textContent === '{told['account'][0]['frame']}'")
    page.keyboard.press("w")
    assert page.is_hidden("#why") and page.is_visible("#tracks")


def test_a_run_without_stored_detections_tells_so_in_the_panel(open_page: Any) -> None:
    page, run = open_page()
    shutil.rmtree(run / "detections")
    page.click(".track >> nth=0")
    page.keyboard.press("w")
    wait(page, "document.getElementById('why').textContent.includes('has no stored detections')")


def test_a_run_that_was_tracked_again_plays_the_video_of_the_first(open_page: Any, track: Any) -> None:
    page, run = open_page("copied")
    assert track("retrack", run, "--max-age", 2)[0] == 0
    again = find_runs([run.with_name("video-2")])[0]
    told = again.media.open()
    assert told["ready"] and again.media.path == run / "browser.mp4"
    assert told["offset"] == offset_of(page) and again.media.time_of(FRAMES - 1) == pytest.approx(VARIABLE[-1] / 1000)
    shutil.rmtree(run)
    again = find_runs([run.with_name("video-2")])[0]
    assert not again.media.open()["ready"] and "no longer there" in again.media.open()["note"]


def test_regions_of_interest_are_drawn_at_their_place(open_page: Any) -> None:
    ignored = {"sky": [[0.6, 0], [1, 0], [1, 0.05], [0.6, 0.05]]}
    page, _ = open_page(config=Config.model_validate({"detector": {"roi": {"ignore": ignored}}}))
    drawn = """() => {
      const canvas = document.getElementById("boxes"), copy = document.createElement("canvas");
      [copy.width, copy.height] = [canvas.width, canvas.height];
      const context = copy.getContext("2d", { willReadFrequently: true });
      context.drawImage(canvas, 0, 0);
      const [w, h] = [canvas.width, canvas.height], shown = Math.min(w / (4 / 3), h);
      const [left, top] = [(w - shown * 4 / 3) / 2, (h - shown) / 2];
      const count = (x1, x2) => {
        const part = context.getImageData(left + x1 * shown * 4 / 3, top + 1, (x2 - x1) * shown * 4 / 3, 0.04 * shown);
        return part.data.filter((value, n) => n % 4 === 3 && value > 0).length;
      };
      return [count(0.9, 0.99), count(0.1, 0.55)];
    }"""
    inside, outside = page.evaluate(drawn)
    assert inside > 50 and outside == 0
    page.keyboard.press("o")
    assert page.evaluate(drawn) == [0, 0]
    page.keyboard.press("o")
    assert page.evaluate(drawn) == [inside, outside]


def test_a_phone_in_the_dark(open_page: Any) -> None:
    phone = {"width": 390, "height": 844}
    page, _ = open_page(viewport=phone, color_scheme="dark", has_touch=True, is_mobile=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= phone["width"]
    page.tap("#play")
    wait(page, "document.getElementById('video').currentTime > 0.1")
