"""`track blur`: the video of a run without faces, people or number plates."""

from pathlib import Path
from typing import Annotated

import numpy as np

from tracker.cli.console import check_output, say
from tracker.cli.options import CommandApp, help_text, section, split_names, split_numbers
from tracker.cli.progress import progress
from tracker.config import BlurConfig
from tracker.data.run_tracks import read_run_tracks
from tracker.errors import InputError

app = CommandApp(name="blur")


@app.default
def blur(
    run: Annotated[Path, help_text("The folder of a run, such as tracked/video.")],
    /,
    *,
    output: Annotated[
        Path | None, help_text("An .mp4, .mkv or .mov; without it blurred.mp4 in the folder of the run.")
    ] = None,
    video: Annotated[str, help_text("The video of the run, where it is not at its place any more.")] = "",
    classes: Annotated[tuple[str, ...], help_text("Blur only tracks of these classes.")] = (),
    keep: Annotated[tuple[str, ...], help_text("Tracks to leave as they are, such as 12,15.")] = (),
    overwrite: Annotated[bool, help_text("Replace the video.")] = False,
    settings: Annotated[BlurConfig, section("Blur")] = BlurConfig(),
) -> None:
    """Runs the command."""
    from tracker.pipeline.blur import blur_run

    path = output or run / "blurred.mp4"
    all_tracks = read_run_tracks(run)
    check_output(path, (".mp4", ".mkv", ".mov"), overwrite)
    kept = split_numbers(keep, "--keep") if keep else ()
    if unknown := sorted(set(kept) - set(all_tracks.ids.tolist())):
        raise InputError(f"{run} has no track {unknown[0]}: --keep takes the ids of its tracks")
    chosen = all_tracks.of_classes(split_names(classes))
    chosen = chosen.select(~np.isin(chosen.ids, kept))
    with progress("blurring") as show:
        result = blur_run(
            chosen,
            path,
            settings,
            video,
            overwrite,
            lambda done, total: show(done, total, f"{done}/{total} frames" if total else f"{done} frames"),
        )
    say(
        f"blurred {result.tracks} tracks in {result.frames} frames ({result.boxes} boxes, {result.filled} of them in "
        f"frames where the track was not seen); no frame of them is missed",
        f"wrote {result.path}",
    )
