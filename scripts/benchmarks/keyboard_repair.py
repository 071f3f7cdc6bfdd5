"""Repairs all identity switches of a run by the keys of its page in Chromium."""

import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment

from benchmarks.processes import find_chromium
from tracker.config import WebConfig
from tracker.errors import InputError
from tracker.evaluation.mot.alignment import align
from tracker.evaluation.mot.files import MotTable, read_tracks
from tracker.evaluation.mot.metrics import combined_metrics
from tracker.web import WebServer
from tracker.web.view import create_view_app, find_runs

_OVERLAP = 0.5
"""IoU of a box and the object that it belongs to."""
_WAIT_S = 30.0

Part = tuple[int, int, int]
"""Of a track that follows one object: its first frame, from 0, its id before the repairs, the object."""


def repair_by_keys(run: Path, ground_truth: Path) -> Iterator[str]:
    """Yields the IDF1 of a run before and after all its identity switches are repaired, and the number of key strokes.

    What to repair comes from the ground truth; how, from the page: tracks are split where they change to another
    object, and the parts of each object are merged.

    Raises:
        InputError: The run has edits already, or there is no Chromium.
    """
    if (run / "edits.jsonl").exists():
        raise InputError(f"{run} has edits already: give a run without")
    chromium = find_chromium()
    gt, before = read_tracks(ground_truth), read_tracks(run / "tracks.csv")
    objects = _objects_of_rows(before, gt)
    parts = _parts(before, objects)
    allowed = _idf1(_with_best_ids(before, objects), gt)
    keyboard = _repair(run, parts, chromium)
    first, last = _idf1(before, gt), _idf1(read_tracks(run / "repaired" / "tracks.csv"), gt)
    yield f"{len(np.unique(before[:, 1]))} tracks, {len(parts)} parts of {len({part[2] for part in parts})} objects"
    yield f"actions: {sum(keyboard.actions.values())} ({', '.join(f'{n} {v}' for v, n in keyboard.actions.items())})"
    yield f"key strokes: {keyboard.strokes}"
    yield f"IDF1 before {first:.2f}, after {last:.2f}, what the boxes allow {allowed:.2f}: share {last / allowed:.4f}"


def _idf1(tracks: MotTable, gt: MotTable) -> float:
    return combined_metrics({"run": (tracks, gt)})["IDF1"]


def _objects_of_rows(tracks: MotTable, gt: MotTable) -> dict[tuple[int, int], int]:
    """Returns the object of each box (frame, track) that has one; what matched in the frame before is kept."""
    aligned = align(tracks, gt, "run")
    found: dict[tuple[int, int], int] = {}
    latest: dict[int, int] = {}
    for frame, gts, ids, ious in zip(
        aligned.frames, aligned.gt_indices, aligned.track_indices, aligned.ious, strict=True
    ):
        kept = np.array([[latest.get(int(track)) == int(one) for track in ids] for one in gts]).reshape(ious.shape)
        gain = np.where(ious >= _OVERLAP, ious + kept, -10.0)
        for row, column in zip(*linear_sum_assignment(-gain), strict=True):
            if ious[row, column] >= _OVERLAP:
                latest[int(ids[column])] = int(gts[row])
                key = int(frame), int(aligned.track_ids[ids[column]])
                found[key] = int(aligned.gt_ids[gts[row]])
    return found


def _with_best_ids(tracks: MotTable, objects: dict[tuple[int, int], int]) -> MotTable:
    """Returns the same boxes with the ids of their objects; each box without one has an id of its own."""
    result = tracks.copy()
    spare = max(objects.values(), default=0) + 1
    result[:, 1] = [objects.get((int(row[0]), int(row[1])), spare + n) for n, row in enumerate(tracks)]
    return result


def _parts(tracks: MotTable, objects: dict[tuple[int, int], int]) -> list[Part]:
    """Returns the parts of all tracks, a new one where the object changes, in their order in time."""
    parts: list[Part] = []
    for track in np.unique(tracks[:, 1]).astype(int).tolist():
        now = -1
        for frame in sorted(tracks[tracks[:, 1] == track, 0].astype(int).tolist()):
            here = objects.get((frame, track), now)
            if here != now:
                parts.append((frame - 1, track, here))
                now = here
    return sorted(parts)


class _Keyboard:
    """Presses the keys of the page, and counts them."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self.strokes = 0
        self.actions: Counter[str] = Counter()
        self.version = 0

    def wait(self, condition: str) -> None:
        until = time.monotonic() + _WAIT_S
        while not self.page.evaluate(condition):
            if time.monotonic() > until:
                raise TimeoutError(f"{condition}; the page says: {self.page.inner_text('#message')}")
            self.page.wait_for_timeout(5)

    def press(self, key: str) -> None:
        self.page.keyboard.press(key)
        self.strokes += 1

    def answer(self, key: str, value: int, condition: str) -> None:
        self.press(key)
        self.wait("document.getElementById('ask').open")
        for letter in str(value):
            self.press(letter)
        self.press("Enter")
        self.wait(f"!document.getElementById('ask').open && document.getElementById({condition}")

    def select(self, track: int) -> None:
        self.answer("t", track, f"'selection').textContent.match(/^tracks? {track}( |$)/)")

    def change(self, key: str, action: str) -> None:
        self.press(key)
        self.actions[action] += 1
        self.version += 1
        self.wait(f"document.body.dataset.version === '{self.version}'")


def _repair(run: Path, parts: list[Part], chromium: str) -> _Keyboard:
    from playwright.sync_api import sync_playwright

    runs = find_runs([run])
    with WebServer(create_view_app(runs), WebConfig(port=0)) as server, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        page.goto(server.url)
        keyboard = _Keyboard(page)
        keyboard.wait("document.body.dataset.ready && document.getElementById('video').readyState >= 2")
        ids = _split(keyboard, runs[0], parts)
        for followed in sorted({part[2] for part in parts}):
            first, *others = [ids[part] for part in parts if part[2] == followed]
            for other in others:
                keyboard.select(first)
                keyboard.answer("Shift+T", other, f"'selection').textContent === 'tracks {first} and {other}'")
                keyboard.change("m", "merge")
        keyboard.press("e")
        keyboard.actions["export"] += 1
        keyboard.wait("document.getElementById('message').textContent.startsWith('wrote')")
        browser.close()
    runs[0].close()
    return keyboard


def _split(keyboard: _Keyboard, run: Any, parts: list[Part]) -> dict[Part, int]:
    """Splits tracks where they change to another object; returns the id of each part then."""
    ids: dict[Part, int] = {}
    current: dict[int, int] = {}  # of each track as it was, the id of its latest part
    for part in parts:
        frame, track, _ = part
        if track in current:
            keyboard.select(current[track])
            keyboard.answer("g", frame, f"'frame').textContent === '{frame}'")
            keyboard.change("s", "split")
            current[track] = run.table.journal.edits()[-1].new_id
        ids[part] = current.setdefault(track, track)
    return ids
