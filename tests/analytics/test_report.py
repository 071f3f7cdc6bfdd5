"""The report of a run: complete, and without anything from outside."""

import re
from collections.abc import Callable
from pathlib import Path

from run_folders import make_run, walk
from video_clips import write_clip

ZONES = "lines: {'<gate>': [[0.5, 0.2], [0.5, 0.8]]}\nzones: {a: [[0, 0], [0.3, 0], [0.3, 1]]}\n"


def test_report_holds_everything(track: Callable[..., tuple[int, str, str]], tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", 33, 10, size=(100, 100))
    run = make_run({7: walk((10, 50), (90, 50), range(33))}, tmp_path / "run", source={"path": str(clip)})
    assert track("report", run)[0] == 0
    (run / "zones.yaml").write_text(ZONES + "calibration: {length: {image: [[0.1, 0.5], [0.9, 0.5]], metres: 40}}\n")
    code, out, _ = track("report", run)
    text = (run / "report.html").read_text()
    assert code == 0 and "report.html" in out
    assert "&lt;gate&gt;" in text and "<gate>" not in text  # names of strangers are no HTML
    assert text.count("data:image/jpeg;base64,") == 3 and "<b>person 7</b>" in text and "12.50" in text
    outside = set(re.findall(r'(?:src|href|url\()\s*=?\s*"?(?!data:)([a-z]+:[^"\s)]*)', text))
    assert not outside and "<script" not in text
