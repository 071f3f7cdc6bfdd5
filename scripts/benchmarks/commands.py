"""Commands of `scripts/benchmark.py`; each yields lines of text as soon as they are known."""

import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Annotated, Literal

from cyclopts import Parameter

from tracker.config import Config, load_config
from tracker.errors import InputError
from tracker.pipeline.run_record import versions, write_record


def stages(clip: str, frames: int = 300, /) -> Iterator[str]:
    """Measures the frames per second of each stage alone, and of whole runs, on the first frames of a clip."""
    from tracker.evaluation.speed.machine import machine
    from tracker.evaluation.speed.stages import measure_stages, read_first_frames

    yield machine()
    yield ", ".join(f"{name} {version}" for name, version in versions().items())
    report = measure_stages(clip, *read_first_frames(clip, Config(), frames), Config())
    for stage, cost in report.stages.items():
        yield f"{stage:10s} {1 / cost.wall:8.1f} frames/s  {1000 * cost.wall:7.2f} ms/frame"
    efficiency = f"{report.efficiency:7.1%} of the limit of {report.bottleneck}"
    yield f"{'run':10s} {report.throughput:8.1f} frames/s  {efficiency}"


def memory(*clips: str, minutes: float = 0.0) -> Iterator[str]:
    """Measures the peak memory of a run for each clip, or how the memory of a long run grows.

    Args:
        clips: Video files.
        minutes: Repeat each clip to a video of so many minutes, and sample the memory of the run.

    Raises:
        InputError: A run failed; see stderr.
    """
    from benchmarks.memory import long_run, peak_memory

    for clip in clips:
        if not minutes:
            yield f"{clip}: peak memory {peak_memory(clip)} MiB"
            continue
        run = long_run(clip, minutes)
        yield f"{clip}: {run.minutes:.1f} minutes of video in {run.elapsed:.0f} s"
        yield f"  resident: {run.start:.0f} MiB after the warm-up, {run.end:.0f} before the end, {run.peak:.0f} at most"
        yield f"  growth: {run.slope:+.1f} MiB for each hour of video, standard error {run.slope_error:.1f}"
        for line in run.gpu.lines:
            yield f"  {line}"
        for name, stats in run.queues.items():
            yield f"  queue {name}: {stats['highest']} of {stats['size']} at most, {stats['mean']:.1f} on average"


def startup(clip: str = "", /, *, repetitions: int = 5) -> Iterator[str]:
    """Measures the seconds until a new process has imported the package, printed its help, and found first tracks.

    Args:
        clip: A video file; without it the demo's clip.
        repetitions: Number of runs of each, in turn.

    Raises:
        InputError: A run failed; see stderr.
    """
    from benchmarks.startup import startup_times

    yield f"median of {repetitions} new processes, seconds (fastest, slowest)"
    for name, times in startup_times(clip, repetitions).items():
        yield f"{name:26s}{median(times):8.2f} ({min(times):.2f}, {max(times):.2f})"


def input_sizes(*clips: str, frames: int = 48, large: tuple[int, int] = (3840, 2160)) -> Iterator[str]:
    """Measures the speed of the built-in detector by input size and tiles, on clips and on a large frame made of them.

    Args:
        clips: Video files.
        frames: Number of frames of each.
        large: Width and height, pixels, of the large frames: the clips beside each other.

    Raises:
        InputError: A clip cannot be read.
    """
    from benchmarks.input_sizes import compare, make_mosaic, read_frames
    from tracker.evaluation.speed.machine import machine

    yield machine()
    for clip in clips:
        yield clip
        yield from compare(read_frames(clip, frames))
    width, height = large
    for moving, places in ((1, "everywhere"), (4, "in one place of four, still images in the others")):
        yield f"{width}x{height}, clips {places}"
        yield from compare(make_mosaic(clips, frames, large, moving))


def association(
    *objects: int,
    repetitions: int = 3,
    json: Annotated[Path | None, Parameter(help="File for all measurements.")] = None,
    plot: Annotated[Path | None, Parameter(help="File for a chart, .png or .svg.")] = None,
) -> Iterator[str]:
    """Measures the latency of an update with 10 50 100 300 1000 (or other numbers of) objects, also of other trackers.

    Raises:
        InputError: There is nothing to measure, or a result cannot be written.
    """
    from benchmarks.association import as_json, benchmark_conditions, compare
    from benchmarks.other_trackers import available
    from benchmarks.report import check_chart, draw_chart, headline, table
    from benchmarks.synthetic import OBJECTS

    _check_folder(json)
    _check_folder(plot)
    if plot is not None:
        check_chart(plot)
    entries, missing = available()
    conditions = benchmark_conditions(entries, missing)
    yield headline(conditions)
    comparisons = []
    for number in objects or OBJECTS:
        comparisons.append(compare(entries, number, repetitions))
        yield "\n" + table(comparisons[-1])
    if json is not None:
        write_record(json, as_json(comparisons, conditions))
        yield f"\nwrote {json}"
    if plot is not None:
        draw_chart(comparisons, conditions, plot)
        yield f"\nwrote {plot}"


def association_accuracy(
    folder: Path,
    /,
    *,
    configs: Path = Path(__file__).parents[2] / "configs",
    detections: str = "det.txt",
    offline: bool = True,
    others: bool = True,
) -> Iterator[str]:
    """Measures the accuracy of the defaults, of each preset and of other packages, by kind of sequence.

    Args:
        folder: Sequences in the layout of the MOTChallenge, with gt/gt.txt and det/NAME.
        configs: Folder of presets; those with settings of the tracker are measured.
        detections: Name of the files of detections.
        offline: Measure ours with --offline too.
        others: Measure trackers of other packages too, where they are installed.

    Raises:
        InputError: There are no such sequences, or a file is damaged.
    """
    from benchmarks.association_accuracy import as_text, evaluate_entries, heading, other_entries, our_entries

    entries = our_entries(configs, offline)
    if others:
        working, missing = other_entries()
        entries += working
        for name, reason in missing.items():
            yield f"{name} is left out: {reason}"
    for number, (entry, result) in enumerate(evaluate_entries(folder, detections, entries)):
        if number == 0:
            yield heading(list(result))
        yield as_text(entry, result)


def leave_one_out(folder: Path, /, *, detections: str = "det.txt") -> Iterator[str]:
    """Measures settings of the tracker chosen on all kinds of sequences but one, on the kind that was left out: HOTA.

    Args:
        folder: Sequences in the layout of the MOTChallenge, with gt/gt.txt and det/NAME.
        detections: Name of the files of detections.

    Raises:
        InputError: There are no such sequences, or of less than two kinds, or a file is damaged.
    """
    from benchmarks.leave_one_out import leave_one_out as lines

    yield from lines(folder, detections)


def track_quality(folder: Path, /, *, detections: str = "det.txt") -> Iterator[str]:
    """Measures how far `track quality` tells HOTA and IDF1: rank correlations over sequences, also of spoilt tracks.

    Args:
        folder: Sequences in the layout of the MOTChallenge, with gt/gt.txt and det/NAME.
        detections: Name of the files of detections.

    Raises:
        InputError: There are no such sequences, or a file is damaged.
    """
    from benchmarks.track_quality import CHOSEN_ON, as_text, correlations, heading, measure_variants

    yield heading()
    measured = []
    for one in measure_variants(folder, detections):
        measured.append(one)
        yield as_text(one)
    others = [kind for kind in dict.fromkeys(one.kind for one in measured) if kind not in CHOSEN_ON]
    for kinds, what in ((CHOSEN_ON, "on which the score was chosen"), (others, "kept apart")):
        rows = [one for one in measured if one.kind in kinds]
        if len({one.sequence for one in rows}) > 1:
            yield f"\nSpearman's rank correlation, {len(rows)} results of {', '.join(kinds)} ({what})"
            yield f"{'':14}{'HOTA':>7}{'IDF1':>7}{'within a sequence: HOTA':>26}{'IDF1':>7}"
            for term, (hota, idf1, *within) in correlations(measured, kinds).items():
                yield f"{term:14}{hota:7.2f}{idf1:7.2f}{within[0]:26.2f}{within[1]:7.2f}"


def baselines(
    clip: str,
    /,
    *,
    model: str = "builtin",
    ultralytics: str = "",
    loops: int = 3,
    repetitions: int = 3,
    json: Annotated[Path | None, Parameter(help="File for all measurements.")] = None,
) -> Iterator[str]:
    """Compares whole runs on the CPU, from a video to an annotated one and a table, with baseline pipelines.

    Args:
        clip: A video file.
        model: builtin, or an R-CNN of torchvision with random weights, the same for ours and the naive script.
        ultralytics: Python of an environment in which that package is installed.
        loops: Number of repetitions of the clip in a run; the more, the less loading counts.
        repetitions: Number of runs of each pipeline, in turn.
        json: File for all measurements.

    Raises:
        InputError: A run failed (see stderr), or a result cannot be written.
    """
    from benchmarks.end_to_end import available_baselines, compare_pipelines, missing_packages
    from tracker.evaluation.speed.machine import machine

    _check_folder(json)
    with tempfile.TemporaryDirectory() as folder:
        pipelines = available_baselines(model, clip, ultralytics, Path(folder))
        yield machine()
        yield ", ".join(f"{name} {version}" for name, version in versions().items())
        for pipeline in pipelines:
            yield f"{pipeline.name}: {pipeline.description}"
        for package in missing_packages():
            yield f"left out: naive script (no package {package}: pip install 'video-tracker[benchmark]')"
        throughputs = compare_pipelines(pipelines, clip, loops, repetitions)
    yield f"\n{'':20s}{'frames/s':>10s}{'ours over it':>14s}{'CPU ms':>9s}"
    for throughput in throughputs:
        columns = f"{median(throughput.rates):10.2f}{throughput.ratio:13.2f}x{throughput.cpu_milliseconds:9.1f}"
        yield f"{throughput.name:20s}{columns}"
    if json is not None:
        conditions = {"machine": machine(), "versions": versions(), "clip": clip, "model": model, "loops": loops}
        descriptions = {pipeline.name: pipeline.description for pipeline in pipelines}
        measurements = [asdict(throughput) for throughput in throughputs]
        write_record(json, {**conditions, "pipelines": descriptions, "throughputs": measurements})
        yield f"\nwrote {json}"


def ablation(
    folder: Path,
    /,
    *configs: Path,
    det: str = "det.txt",
    base_config: Path | None = None,
    json: Annotated[Path | None, Parameter(help="File for all measurements.")] = None,
) -> Iterator[str]:
    """Measures the effect of each setting of the tracker on sequences with ground truth: metrics without it.

    Args:
        folder: Sequences in the layout of the MOTChallenge: NAME/det/det.txt, NAME/gt/gt.txt, NAME/seqinfo.ini.
        configs: Files of settings to compare with, such as configs/sort.yaml.
        det: Name of the files of detections.
        base_config: File of the initial settings, instead of the defaults.
        json: File for all measurements.

    Raises:
        InputError: A file cannot be read or written.
    """
    from benchmarks.ablation import Result, as_json, as_text, evaluate_variants, heading, make_variants

    _check_folder(json)
    results: list[Result] = []
    variants = make_variants(load_config(base_config) if base_config else Config(), configs)
    for variant, metrics in evaluate_variants(folder, det, variants):
        if not results:
            yield heading()
        results.append((variant, metrics))
        yield as_text(variant, metrics)
    if json is not None:
        write_record(json, {"versions": versions(), "variants": as_json(results)})
        yield f"\nwrote {json}"


def detectors(
    *,
    model: str = "fasterrcnn_resnet50_fpn_v2",
    device: str = "auto",
    precision: Literal["auto", "fp32", "half"] = "auto",
    size: tuple[int, int] = (1333, 800),
    batch_size: int = 4,
    batches: int = 4,
    repetitions: int = 5,
    json: Annotated[Path | None, Parameter(help="File for all measurements.")] = None,
) -> Iterator[str]:
    """Compares the throughput of a torchvision detector, in inference and training, with torchvision's own loops.

    Args:
        model: One of torchvision's detectors.
        device: auto, cpu, cuda or cuda:N.
        precision: Of ours; auto is half on CUDA devices (bfloat16 in training). Torchvision's loops are in float32.
        size: Width and height of the images, pixels; the networks do not resize them.
        batch_size: Images in a batch; in inference torchvision's loop takes them one by one.
        batches: Number of batches of each repetition.
        repetitions: Number of runs of each side, in turn.
        json: File for all measurements.

    Raises:
        InputError: There is nothing to measure, or a result cannot be written.
    """
    from benchmarks.detectors import compare_inference, compare_training, make_workload, peak_flops
    from tracker.models.runtime import use_half_precision

    _check_folder(json)
    workload = make_workload(model, device, precision, size, batch_size, batches)
    yield ", ".join(f"{name} {version}" for name, version in versions().items())
    batches_text = f"batches of {batch_size}, {repetitions} repetitions"
    yield f"{model} on {workload.device}, {size[0]}x{size[1]} pixels, {batches_text}"
    peak = peak_flops(workload.device, use_half_precision(precision, workload.device))
    yield f"peak of matrix products: {peak / 1e12:.2f} TFLOP/s in the precision of ours"
    header = f"{'images/s, median':20s}{'ours':>9s}{'torchvision':>13s}{'ratio':>8s}{'MiB':>9s}{'MiB':>9s}"
    yield f"{header}{'TFLOP/s':>9s}{'of peak':>9s}"
    results = []
    for compare in (compare_inference, compare_training):
        result = compare(workload, repetitions)
        memory = "".join(f"{value:9.0f}" if value else f"{'-':>9s}" for value in result.memory)
        flops_per_second = median(result.ours) * result.flops
        rates = f"{median(result.ours):9.2f}{median(result.theirs):13.2f}{result.ratio:7.2f}x"
        yield f"{result.name:20s}{rates}{memory}{flops_per_second / 1e12:9.3f}{flops_per_second / peak:8.1%}"
        results.append(asdict(result))
    if json is not None:
        conditions = {"model": model, "device": str(workload.device), "precision": precision, "size": size}
        measurements = {"batch_size": batch_size, "peak_flops": peak, "comparisons": results}
        write_record(json, {"versions": versions(), **conditions, **measurements})
        yield f"\nwrote {json}"


def backends(
    *models: str,
    size: tuple[int, int] = (1280, 720),
    images: int = 4,
    threads: int = 0,
    repetitions: int = 5,
    json: Annotated[Path | None, Parameter(help="File for all measurements.")] = None,
) -> Iterator[str]:
    """Compares the throughput of detectors on the CPU by backend, and their detections with torchvision's.

    Args:
        models: builtin and R-CNNs of torchvision with random weights; three of them by default.
        size: Width and height of the images, pixels; the networks resize them.
        images: Number of images of each repetition; torchvision takes them one by one.
        threads: Threads of each implementation, 0 for as many as there are cores.
        repetitions: Number of runs of each implementation, in turn.
        json: File for all measurements.

    Raises:
        InputError: There is nothing to measure, or a result cannot be written.
    """
    from benchmarks.backends import MODELS, compare_backends
    from tracker.models.runtime.device import count_threads

    _check_folder(json)
    threads = count_threads(threads)
    yield ", ".join(f"{name} {version}" for name, version in versions().items())
    yield f"{size[0]}x{size[1]} pixels, {images} at a time, {threads} threads, {repetitions} repetitions"
    results_by_model = {}
    for model in models or MODELS:
        results = compare_backends(model, size, images, threads, repetitions)
        yield f"\n{model:40s}{'images/s':>11s}{'ratio':>8s}{'CPU ms':>9s}{'equal boxes':>16s}"
        for result in results:
            columns = f"{median(result.rates):11.2f}{result.ratio:7.2f}x{result.cpu_milliseconds:9.1f}"
            matching = f"{result.matching:.1%} of {result.total_boxes}"
            yield f"  {result.name:38s}{columns}{matching:>16s}"
        results_by_model[model] = [asdict(result) for result in results]
    if json is not None:
        conditions = {"size": size, "images": images, "threads": threads}
        write_record(json, {"versions": versions(), **conditions, "models": results_by_model})
        yield f"\nwrote {json}"


def _check_folder(path: Path | None) -> None:
    if path is not None and not path.parent.is_dir():
        raise InputError(f"there is no folder {path.parent} for {path.name}: make it first")


def batches(*, tasks: int = 100_000, workers: int = 2, seconds: float = 0.0) -> Iterator[str]:
    """Measures the driver of `track batch` on a local Ray cluster, whose workers are stand-ins that only wait.

    Args:
        tasks: Number of sources.
        workers: Number of workers.
        seconds: Time that a worker waits for each source.
    """
    from benchmarks.batches import simulate

    yield f"{tasks} sources, {workers} workers that wait {seconds:g} s for each"
    for name, value in simulate(tasks, workers, seconds).items():
        yield f"{name:44s} {value:12,.1f}"


def counts(*, seeds: int = 200) -> Iterator[str]:
    """Measures how often counts and speeds of simulated scenes are within their intervals.

    Args:
        seeds: Scenes with other noise.
    """
    from benchmarks.counting import report

    yield from report(seeds)


def embedder_gaps(
    sequence: Path, /, *embedders: str, gaps: Annotated[tuple[int, ...], Parameter(consume_multiple=True)] = (1, 7, 30)
) -> Iterator[str]:
    """Measures how well embedders tell the people of a sequence apart, some frames later.

    Args:
        sequence: Folder with det/det.txt, gt/gt.txt and video.mp4.
        embedders: `builtin`, or files of weights.
        gaps: Frames between two crops.
    """
    from benchmarks.embedder_gaps import measure_gaps

    yield from measure_gaps(sequence, embedders or ("builtin",), gaps)


def blurred(run: Path, ground_truth: Path, video: Path, /) -> Iterator[str]:
    """Measures how much of the ground truth `track blur` has hidden.

    Args:
        run: Folder of the run.
        ground_truth: The boxes of persons, a MOTChallenge file.
        video: What `track blur` wrote.
    """
    from benchmarks.blurred import blurred_shares

    yield from blurred_shares(run, ground_truth, video)


def keyboard_repair(run: Path, ground_truth: Path, /) -> Iterator[str]:
    """Repairs all identity switches of a run by the keys of its page, and measures IDF1 before and after.

    Args:
        run: Folder of a run without edits, which gets those of this repair.
        ground_truth: The true tracks, a MOTChallenge file.
    """
    from benchmarks.keyboard_repair import repair_by_keys

    yield from repair_by_keys(run, ground_truth)


def long_view(
    *,
    hours: float = 12.0,
    tracks: int = 5000,
    rows: int = 4_000_000,
    keyframes: float = 1.0,
    seed: int = 0,
    folder: Path | None = None,
) -> Iterator[str]:
    """Measures the page of a synthetic run of many hours in Chromium: until it is usable, seeks, and memory.

    Args:
        hours: Length of its video.
        tracks: Number of its tracks.
        rows: Number of boxes of all tracks.
        keyframes: Seconds from one keyframe of the video to the next.
        seed: Of the random moments of the seeks.
        folder: Keep the run there, or take the one that a call before has kept.

    Raises:
        InputError: No browser is there, or the page does not answer.
    """
    from benchmarks.long_view import measure_long_view

    yield from measure_long_view(hours, tracks, rows, keyframes, seed, folder)


def killed_runs(*clips: str, kills: int = 30, seed: int = 0, flags: str = "") -> Iterator[str]:
    """Kills runs of `track` at random moments, lets `--resume` go on, and compares with runs that nobody killed.

    The first clip alone, with `--offline`, and all clips together are so tracked in turn.

    Args:
        clips: Video files.
        kills: Number of kills of each of them.
        seed: Of the random moments.
        flags: Further flags of `track`, separated by spaces, such as "--end 5".

    Raises:
        InputError: No clip is given.
    """
    from benchmarks.killed_runs import compare_killed_runs

    if not clips:
        raise InputError("give video files")
    more = flags.split()
    for sources, each in (clips[:1], more), (clips[:1], [*more, "--offline"]), (clips, more):
        yield from compare_killed_runs(sources, each, kills, seed)


def store() -> Iterator[str]:
    """Measures the cost of stored detections and of tracks.parquet: time, bytes, and reading a minute of 12 hours."""
    from benchmarks.store_cost import BOXES, DIMENSION, measure_store

    cost = measure_store()
    yield f"{BOXES} boxes in a frame with embeddings of {DIMENSION} random numbers, 25 frames a second"
    yield f"stored detections: {cost.store_ms:.2f} ms a frame, {cost.store_mb:.1f} MB an hour of video"
    yield f"tracks.parquet: {cost.tracks_ms:.2f} ms a frame, {cost.tracks_mb:.1f} MB an hour of video"
    yield f"a minute of tracks.parquet of {cost.hours:g} hours is read in {cost.minute_ms:.1f} ms"
    yield f"a minute of stored detections is read in {cost.detections_minute_ms:.1f} ms"


def batch_speed(
    clip: Path, /, *, copies: int = 12, minutes: float = 2.0, repetitions: int = 3, ray: str = ""
) -> Iterator[str]:
    """Measures `track batch` with one worker and with two: on copies of a clip, and on a long clip in pieces.

    Args:
        clip: A video file.
        copies: Number of clips.
        minutes: Length of the long clip, which repeats the other one.
        repetitions: Number of runs of each, in turn; the fastest ones are compared.
        ray: See `track batch --ray`.

    Raises:
        InputError: A run failed.
    """
    from benchmarks.batch_speed import compare_workers

    yield from compare_workers(clip, copies, minutes, repetitions, ray)


def live_faults(*, minutes: float = 30.0, faults: int = 20, seed: int = 0, flags: str = "") -> Iterator[str]:
    """Tracks a real RTSP server that is killed, freezes and changes its size, and checks counts, events and memory.

    Args:
        minutes: Length of the run.
        faults: Number of faults, at random moments.
        seed: Of the faults.
        flags: Further flags of `track live`, separated by spaces: --flags="--segment 1m --keep 5m".

    Raises:
        InputError: No server can be started, or the run failed.
    """
    from benchmarks.live_service import soak

    yield from soak(minutes, faults, seed, flags.split())


def glass_to_page(
    *,
    seconds: float = 30.0,
    width: int = 640,
    height: int = 360,
    rate: int = 10,
    viewers: int = 1,
    jpeg: bool = False,
    flags: str = "",
) -> Iterator[str]:
    """Measures the time from a frame of an RTSP server, as it is drawn, until Chromium shows it on the page.

    Args:
        seconds: Length of the measurement.
        width: Of the frames, pixels.
        height: Of the frames, pixels.
        rate: Frames per second.
        viewers: Connections to the pictures, that of the browser included.
        jpeg: Whether the viewers get Motion JPEG, as where there is no H.264.
        flags: Further flags of `track live`, separated by spaces.

    Raises:
        InputError: No server or no browser can be started.
    """
    from benchmarks.live_service import glass_to_page as measure

    yield from measure(seconds, width, height, rate, viewers, jpeg, flags.split())
