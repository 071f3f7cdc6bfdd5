"""The explanation of tracks while another one is asked for."""

import threading
from pathlib import Path

import pytest

from hidden_person import write_hidden_person
from tracker import Config, TrackerConfig, track_to_files
from tracker.pipeline.explain import RunExplainer, Superseded
from tracker.tracking.decisions import EndCause

RUN = Path("tracked/video")


def test_a_later_question_ends_the_work_on_the_one_before(stubbed: None, working_folder: Path) -> None:
    write_hidden_person(Path("video.mp4"))
    track_to_files("video.mp4", Config())
    explainer = RunExplainer(RUN)
    refused: list[Exception] = []

    def ask() -> None:
        try:
            explainer.explain(2)
        except Superseded as error:
            refused.append(error)

    with explainer._lock:  # as if it worked on yet another one
        first = threading.Thread(target=ask)
        first.start()
        while not explainer._asked:
            first.join(0.01)
        explainer.close()
    first.join()
    assert len(refused) == 1
    assert explainer.explain(1).row.id == 1
    assert [line.kind for line in explainer.explain(1).lines()][:2] == ["born", "matched"]


def test_steps_are_known_in_every_frame_and_edits_cut_them(stubbed: None, working_folder: Path) -> None:
    write_hidden_person(Path("video.mp4"))
    track_to_files("video.mp4", Config())
    (part,) = RunExplainer(RUN).explain(1).parts
    assert [step.frame for step in part.steps] == list(range(1, 50))
    cut = part.between(10, 20)
    assert [step.frame for step in cut.steps] == list(range(10, 20)) and not cut.events and not cut.is_open
    assert part.is_open and part.final_track(part.steps[0].serial, 3.0) == 1


@pytest.mark.parametrize("offline", [False, True])
def test_tracks_of_known_numbers_of_objects_are_explained(offline: bool, stubbed: None, working_folder: Path) -> None:
    """Also where the id of a lost track goes on with another one."""
    write_hidden_person(Path("video.mp4"))
    known = TrackerConfig(
        exactly="person=1,car=1", association="iou", min_iou=0.8, max_age=0.5, offline=offline, link_gap=0.5
    )
    track_to_files("video.mp4", Config(tracker=known))
    explainer = RunExplainer(RUN)
    assert len(Path(RUN, "summary.csv").read_text().splitlines()) == 3
    accounts = [explainer.explain(track.id) for track in explainer.table.tracks([])]
    assert len(accounts) == 2
    causes = {event.cause for account in accounts for part in account.parts for event in part.events}
    assert (EndCause.REPLACED in causes) is not offline
    linked = [line.text for line in accounts[0].lines() if line.kind == "linked"]
    assert not offline or ("linked with one that begins 1.60 s later" in linked[1] and "--exactly" in linked[1])
