"""The `track` command: the only part that talks to people."""

import logging
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from cyclopts import App, ArgumentCollection, CycloptsError, Group, Parameter, UnusedCliTokensError, validators
from pydantic import ValidationError

from tracker import __version__
from tracker.config import (
    AppearanceConfig,
    ClassifierTrainingConfig,
    Config,
    CropsConfig,
    DetectorConfig,
    DetectorEvalConfig,
    DetectorTrainingConfig,
    EmbedderEvalConfig,
    EmbedderTrainingConfig,
    ExportConfig,
    FoundConfig,
    OutputConfig,
    Section,
    SourceConfig,
    TrackerConfig,
    TrainingConfig,
    load_config,
    merged,
    read_yaml,
    validated,
)
from tracker.config.tools import SELF_SUPERVISED_TRACKING
from tracker.errors import InputError

T = TypeVar("T", DetectorTrainingConfig, EmbedderTrainingConfig, ClassifierTrainingConfig)


class _App(App):
    """Takes all help from annotations: reading docstrings out of the sources would take as long as all the rest."""

    def assemble_argument_collection(
        self, *, default_parameter: Parameter | None = None, parse_docstring: bool = False
    ) -> ArgumentCollection:
        return super().assemble_argument_collection(default_parameter=default_parameter, parse_docstring=False)


app = _App(
    name="track",
    version=f"tracker {__version__}",
    help="Who was where, when, in a video.",
    usage="Usage: track SOURCE... [OPTIONS]\n       track COMMAND [OPTIONS]",
    help_format="plaintext",
    default_parameter=Parameter(negative_iterable=()),
)
train = _App(name="train", help="Train the networks on your own pictures.")
app.command(train)
evaluate = _App(name="eval", help="Measure against the truth.")
app.command(evaluate)
data = _App(name="data", help="Look after your own pictures.")
app.command(data)
tuning = _App(name="tune", help="Search settings that suit your own videos.")
app.command(tuning)


def _flat(title: str) -> Parameter:
    """The settings of a section as flags without the section's name, under a title of their own."""
    return Parameter(name="*", group=Group.create_ordered(title))


def _help(text: str) -> Parameter:
    return Parameter(help=text, negative=(), show_default=False)


Source_ = Annotated[SourceConfig, _flat("Source")]
Found_ = Annotated[FoundConfig, _flat("Detections")]
Detector_ = Annotated[DetectorConfig, _flat("Detector")]
Appearance_ = Annotated[AppearanceConfig, _flat("Appearance")]
Tracker_ = Annotated[TrackerConfig, _flat("Tracker")]
Output_ = Annotated[OutputConfig, _flat("Output")]
ConfigFile = Annotated[Path | None, _help("YAML file of settings; flags given here go before it.")]
TrainingFile = Annotated[
    Path | None, _help("YAML file of settings, such as one of configs/, or a folder to learn from; flags go before it.")
]
Quiet = Annotated[bool, _help("Print errors alone.")]
Resume = Annotated[bool, _help("Go on from the last checkpoint.")]


@app.default
def run(
    sources: Annotated[
        tuple[str, ...],
        _help("A video file, a folder or quoted glob of images, a URL, or a camera's number; or several of these."),
    ],
    /,
    *,
    config: ConfigFile = None,
    quiet: Quiet = False,
    source_settings: Source_ = SourceConfig(),
    detector: Detector_ = DetectorConfig(),
    appearance: Appearance_ = AppearanceConfig(),
    tracker: Tracker_ = TrackerConfig(),
    output: Output_ = OutputConfig(),
) -> int:
    """Track what moves through videos; write an annotated video and a table of tracks of each."""
    return _run(sources, _settings(config, source_settings, detector, appearance, tracker, output), quiet)


def _settings(file: Path | None, *sections: Section) -> Config:
    """The defaults, changed by a file, changed by the flags that were given: all sections, in the order of `Config`."""
    named = zip(Config.model_fields, sections, strict=True)
    given = {name: section.model_dump(exclude_unset=True) for name, section in named}
    for values in given.values():
        for key in values.keys() & {"classes", "classify_classes", "output"}:
            values[key] = _parts(values[key])
    return merged(read_yaml(file) if file else {}, given, where=str(file) if file else "the command line")


def _run(sources: Sequence[str], config: Config, quiet: bool) -> int:
    if quiet:
        logging.getLogger().setLevel(logging.ERROR)
    from tracker.cli.track import run_and_show

    return run_and_show(sources, config, quiet)


@app.command
def retrack(
    detections: Annotated[
        str,
        _help(
            "A file of detections: what --detections or --output wrote (.csv, .json), a MOTChallenge det.txt (all are "
            "persons; a seqinfo.ini beside it or one folder up is read too), or COCO results."
        ),
    ],
    /,
    *,
    video: Annotated[
        str,
        _help("The video of the detections, for appearance and annotation; without it tracking is by motion alone."),
    ] = "",
    config: ConfigFile = None,
    quiet: Quiet = False,
    source_settings: Source_ = SourceConfig(),
    found: Found_ = FoundConfig(),
    appearance: Appearance_ = AppearanceConfig(),
    tracker: Tracker_ = TrackerConfig(),
    output: Output_ = OutputConfig(),
) -> int:
    """Track stored detections, without a detector; write the same results."""
    settings = _settings(config, source_settings, found, appearance, tracker, output)
    if quiet:
        logging.getLogger().setLevel(logging.ERROR)
    from tracker.cli.track import retrack_and_show

    return retrack_and_show(detections, video, settings, quiet)


@app.command
def crops(
    sources: Annotated[
        tuple[str, ...],
        _help("Video files, folders or globs of images, URLs, cameras' numbers; with --video, files of detections."),
    ],
    /,
    *,
    folder: Annotated[Path, Parameter(alias="-o", help="Each video gets a folder of its name in this one.")] = Path(
        "crops"
    ),
    video: Annotated[
        tuple[str, ...], Parameter(consume_multiple=True, help="The videos of the detections, one for each file.")
    ] = (),
    overwrite: Annotated[bool, _help("Replace the folders that an earlier run wrote for these videos.")] = False,
    config: ConfigFile = None,
    quiet: Quiet = False,
    source_settings: Source_ = SourceConfig(),
    detector: Detector_ = DetectorConfig(),
    appearance: Appearance_ = AppearanceConfig(),
    tracker: Tracker_ = TrackerConfig(),
    crops: Annotated[CropsConfig, _flat("ReIDDataset")] = CropsConfig(),
) -> int:
    """Cut the tracks of videos out, a folder for each, the best and most different views first, to learn from."""
    sections = source_settings, detector, appearance, tracker, OutputConfig(overwrite=overwrite)
    settings = _settings(config, *sections)
    if quiet:
        logging.getLogger().setLevel(logging.ERROR)
    from tracker.cli.crops import collect_and_show

    videos, detections = (video, sources) if video else (sources, ())
    return collect_and_show(videos, detections, folder, settings, crops, quiet)


@app.command
def demo(*, quiet: Quiet = False) -> int:
    """Draw a short clip, track it with the built-in networks, and say where to look; needs no network."""
    from tracker.cli.demo import draw_clip

    folder = Path("tracked")
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot make the folder {folder} for the clip: {error.strerror}") from None
    clip = folder / "demo.mp4"
    draw_clip(clip)
    return _run([str(clip)], Config(), quiet)


@app.command
def bench(
    source: Annotated[str, _help("A video file, or a folder or glob of images; without it a clip that is drawn.")] = "",
    /,
    *,
    frames: Annotated[int, Parameter(help="Measure the first N.", validator=validators.Number(gte=1))] = 300,
    json: Annotated[Path | None, _help("Write all figures to this file.")] = None,
    config: ConfigFile = None,
    source_settings: Source_ = SourceConfig(),
    detector: Detector_ = DetectorConfig(),
    appearance: Appearance_ = AppearanceConfig(),
    tracker: Tracker_ = TrackerConfig(),
    output: Output_ = OutputConfig(),
) -> int:
    """Measure how fast a run with these settings is here, stage by stage; its results are thrown away."""
    settings = _settings(config, source_settings, detector, appearance, tracker, output)
    from tracker.cli.bench import bench_and_show

    return bench_and_show(source, settings, frames, json)


@app.command
def export(
    model: Annotated[str, _help("A detector by name, see `track models`, or a file of weights.")],
    /,
    *,
    output: Annotated[
        Path | None, Parameter(alias="-o", help="The file: .onnx, .xml or .pt; without it MODEL's name in this folder.")
    ] = None,
    overwrite: Annotated[bool, _help("Replace that file.")] = False,
    settings: Annotated[ExportConfig, _flat("Export")] = ExportConfig(),
) -> int:
    """Write a detector, with all that follows the network, into a file that other programs can run."""
    from tracker.cli.export import export_and_show

    return export_and_show(model, output, settings, overwrite)


@app.command
def models() -> int:
    """List what --model and --embedder take: classes, size, licence."""
    from tracker.cli.track import print_models

    print_models()
    return 0


@app.command
def info() -> int:
    """Print versions, devices and codecs, for a bug report."""
    from tracker.cli.track import print_info

    print_info()
    return 0


@train.command
def detector(
    config: TrainingFile = None,
    /,
    *,
    resume: Resume = False,
    settings: Annotated[DetectorTrainingConfig, Parameter(name="*")] = DetectorTrainingConfig(),
) -> int:
    """Train a detector."""
    return _train("detector", _training_settings(config, settings), resume)


@train.command
def embedder(
    config: TrainingFile = None,
    /,
    *,
    resume: Resume = False,
    from_video: Annotated[
        tuple[str, ...],
        Parameter(
            consume_multiple=True,
            help="Videos to learn from without labels: their tracks are cut out first, as by `track crops`.",
        ),
    ] = (),
    detections: Annotated[
        tuple[str, ...],
        Parameter(consume_multiple=True, help="Files of detections, one for each of these videos."),
    ] = (),
    tracking: Annotated[Path | None, _help("YAML file of settings with which they are tracked.")] = None,
    settings: Annotated[EmbedderTrainingConfig, Parameter(name="*")] = EmbedderTrainingConfig(),
) -> int:
    """Train an embedder."""
    values = _training_settings(config, settings)
    if from_video:
        from tracker.cli.crops import training_on_videos

        how = load_config(tracking) if tracking else SELF_SUPERVISED_TRACKING
        values = training_on_videos(values, from_video, detections, how, resume)
    return _train("embedder", values, resume)


@train.command
def classifier(
    config: TrainingFile = None,
    /,
    *,
    resume: Resume = False,
    settings: Annotated[ClassifierTrainingConfig, Parameter(name="*")] = ClassifierTrainingConfig(),
) -> int:
    """Train a classifier of crops, which tells fine classes."""
    return _train("classifier", _training_settings(config, settings), resume)


def _training_settings(file: Path | None, given: T) -> T:
    values: dict[str, Any] = {}
    if file:
        values = {"train": str(file)} if file.is_dir() else read_yaml(file)
    for name, value in given.model_dump(exclude_unset=True).items():
        section = isinstance(getattr(given, name), Section) and isinstance(values.get(name), dict)
        values[name] = {**values[name], **value} if section else value
    return validated(type(given), values, str(file) if file else "the command line")


def _train(kind: Literal["detector", "embedder", "classifier"], settings: TrainingConfig, resume: bool) -> int:
    import tracker

    if not settings.train:
        raise InputError("training needs pictures: give a file of settings, or --train; see track train --help")
    with _extra("train", "training"):
        work: Any = getattr(tracker, f"train_{kind}")
    finished = work(settings, resume)
    if os.environ.get("LOCAL_RANK", "0") == "0":  # of several processes of a training one speaks
        print(finished)
    return 0


@contextmanager
def _extra(name: str, what: str) -> Iterator[None]:
    """Says which extra of the package to install, where a package is missing."""
    try:
        yield
    except ModuleNotFoundError as error:
        package = str(error.name).partition(".")[0]
        if package == "tracker":
            raise
        raise InputError(f"{what} needs the package {package}: pip install 'tracker[{name}]'") from None


@data.command
def check(
    paths: Annotated[
        tuple[Path, ...],
        _help(
            "Sets of annotated pictures, such as those of training and scoring: COCO JSON, a folder of Pascal VOC (or "
            "its ImageSets/Main/NAME.txt), YOLO's data.yaml (data.yaml:train for one split), MOTChallenge sequences."
        ),
    ],
    /,
    *,
    sheet: Annotated[Path | None, _help("Draw pictures of each class with their boxes: .png or .jpg.")] = None,
    json: Annotated[Path | None, _help("Write all that was found to this file.")] = None,
    overwrite: Annotated[bool, _help("Replace the files of --sheet and --json.")] = False,
) -> int:
    """Find bad labels, broken pictures and copies, and count classes; exit code 1 where something is wrong, else 0."""
    from tracker.cli.data_check import check_and_show

    return check_and_show(paths, sheet, json, overwrite)


@evaluate.command(name="detector")
def eval_detector(
    pictures: Annotated[
        Path,
        _help(
            "Annotated pictures: COCO JSON, a folder of Pascal VOC (or its ImageSets/Main/NAME.txt), YOLO's data.yaml "
            "(data.yaml:val for one split), MOTChallenge sequences. Classes are matched by name."
        ),
    ],
    /,
    *,
    json: Annotated[Path | None, _help("Write all figures to this file.")] = None,
    report: Annotated[Path | None, _help("Fill this folder: curves, confusions, best and worst pictures.")] = None,
    overwrite: Annotated[bool, _help("Replace the file of --json, and what is in the folder of --report.")] = False,
    settings: Annotated[DetectorEvalConfig, _flat("Detector")] = DetectorEvalConfig(),
) -> int:
    """Score a detector on annotated pictures: COCO's AP and AR, precision, recall and F1 by class, and its time."""
    with _extra("eval", "evaluation"):
        from tracker.cli.eval_detector import detect_and_show

        return detect_and_show(pictures, _scoring(settings), json, report, overwrite)


def _scoring(given: DetectorEvalConfig) -> DetectorEvalConfig:
    values = given.model_dump(exclude_unset=True)
    return validated(DetectorEvalConfig, {**values, "classes": _parts(given.classes)}, "the command line")


@evaluate.command(name="embedder")
def eval_embedder(
    crops: Annotated[
        tuple[Path, ...],
        _help(
            "Crops of known individuals: files named ID_cCAMERA... as in Market-1501, a folder for each individual, or "
            "MOTChallenge sequences with img1/."
        ),
    ],
    /,
    *,
    query: Annotated[Path | None, _help("A folder of queries; without it each crop looks for all others.")] = None,
    gap: Annotated[
        tuple[str, ...],
        _help("Compare what sequences show with what they show so many frames later: 1,7,30. Takes a video too."),
    ] = (),
    det: Annotated[str, _help("With --gap, a file in the folders det whose boxes are taken, not the truth's.")] = "",
    json: Annotated[Path | None, _help("Write all figures to this file.")] = None,
    report: Annotated[Path | None, _help("Fill this folder: curves, distances, best and worst queries, a map.")] = None,
    overwrite: Annotated[bool, _help("Replace the file of --json, and what is in the folder of --report.")] = False,
    settings: Annotated[EmbedderEvalConfig, _flat("Embedder")] = EmbedderEvalConfig(),
) -> int:
    """Score an embedder on crops of known individuals: CMC, mAP and mINP, how far same and different ones lie apart."""
    if gap and (query or report):
        raise InputError("--gap compares frames of a sequence, and has no queries and no report: leave these out")
    if det and not gap:
        raise InputError("--det is for --gap alone: give both, or none")
    with _extra("eval", "evaluation"):
        from tracker.cli.eval_embedder import embed_and_show, eval_temporal_gap

        if gap:
            return eval_temporal_gap(crops, _numbers(gap, "--gap"), det, settings, json, overwrite)
        return embed_and_show(crops, query, settings, json, report, overwrite)


@evaluate.command(name="tracker")
def eval_tracker(
    results: Annotated[Path, _help("Tracks: .txt (MOTChallenge) or .csv of ours, or a folder of NAME.txt, NAME.csv.")],
    gt: Annotated[Path, _help("The truth in the same form, or a folder of NAME/gt/gt.txt.")],
    /,
    *,
    against: Annotated[Path | None, _help("Other results, to compare with.")] = None,
    json: Annotated[Path | None, _help("Write the figures to this file.")] = None,
    plot: Annotated[Path | None, _help("Draw HOTA, DetA and AssA over the IoU: .png, .svg or .pdf.")] = None,
    errors: Annotated[Path | None, _help("Put a picture of each id switch into this folder; needs --video.")] = None,
    video: Annotated[str, _help("The video, or for folders one of NAME/video.mp4, NAME.mp4 or NAME/img1.")] = "",
    overwrite: Annotated[bool, _help("Replace the files of --json and --plot.")] = False,
) -> int:
    """Score tracks against the truth: HOTA, MOTA, IDF1 and what they are made of; all classes count as one."""
    with _extra("eval", "evaluation"):
        from tracker.cli.eval_tracker import score_and_show

        return score_and_show(results, gt, against, json, plot, errors, video, overwrite)


@tuning.command(name="tracker")
def tune_tracker(
    folder: Annotated[Path, _help("Sequences in the layout of the MOTChallenge: NAME/det/det.txt, NAME/gt/gt.txt.")],
    /,
    *,
    config: Annotated[Path | None, _help("YAML file of the settings to start from, instead of the defaults.")] = None,
    det: Annotated[str, Parameter(help="Name of the file of detections in the folders det.")] = "det.txt",
    settings: Annotated[tuple[str, ...], _help("Names of the settings to search: a,b,c; the usual ones without.")] = (),
    metric: Annotated[Literal["HOTA", "MOTA", "IDF1", "mean"], Parameter(help="What to maximise.")] = "mean",
    trials: Annotated[int, Parameter(help="Trials of each search.", validator=validators.Number(gte=1))] = 100,
    folds: Annotated[int, Parameter(help="Parts of the sequences, held out in turn; 0: one by one.")] = 0,
    every: Annotated[tuple[str, ...], _help("Track every N-th frame; 1,2,3 scores three frame rates together.")] = (),
    seed: Annotated[int, Parameter(help="Seed of the search.", validator=validators.Number(gte=0))] = 0,
    output: Annotated[Path | None, _help("Write the settings found to this .yaml, for --config.")] = None,
    overwrite: Annotated[bool, _help("Replace that file.")] = False,
) -> int:
    """Search settings of the tracker on sequences with truth, and tell by how much they help on others held out."""
    start = load_config(config) if config else Config()
    steps = _numbers(every, "--every")
    with _extra("tune", "tuning"):
        from tracker.cli.tune import tune_and_show

        return tune_and_show(
            folder, det, start, _parts(settings), metric, trials, folds, steps, seed, output, overwrite
        )


def _parts(texts: tuple[str, ...]) -> tuple[str, ...]:
    """a,b and c as a, b, c."""
    return tuple(part.strip() for text in texts for part in text.split(",") if part.strip())


def _numbers(texts: tuple[str, ...], flag: str) -> tuple[int, ...]:
    numbers = tuple(dict.fromkeys(int(part) if part.isdecimal() else 0 for part in _parts(texts)))
    if 0 in numbers:
        raise InputError(f"{flag} {','.join(texts)}: give whole numbers from 1, such as 1,2,3")
    return numbers or (1,)


class _WarningHandler(logging.Handler):
    """Warnings as lines on whatever stderr is at the moment, so that they pass above a progress bar."""

    def emit(self, record: logging.LogRecord) -> None:
        print(f"{record.levelname.lower()}: {record.getMessage()}", file=sys.stderr)


def format_error(error: Exception) -> str:
    """What is said of an error in the command line, in one line."""
    if isinstance(error, InputError):
        text = str(error)
    elif isinstance(error, UnusedCliTokensError):
        extra = (error.unused_tokens or [""])[0]
        text = f"unexpected {extra!r} - names with spaces or * need quotes; see track --help"
    elif isinstance(error.__cause__, ValidationError):
        first = error.__cause__.errors()[0]
        text = f"--{str(first['loc'][0]).replace('_', '-')} {first['input']}: {first['msg']}; see track --help"
    else:
        text = f"{str(error).rstrip('.')}; see track --help"
    return " ".join(text.split())


def main(arguments: Sequence[str] | None = None) -> None:
    """The console script: exit code 0, 2 after bad input, 130 after Ctrl-C; a bug keeps its traceback."""
    logging.basicConfig(handlers=[_WarningHandler(logging.WARNING)])
    try:
        code = app(arguments, exit_on_error=False, print_error=False, result_action="return_value")
        print(end="", flush=True)  # what is still buffered may find the pipe broken
    except (InputError, CycloptsError) as error:
        print(f"track: {format_error(error)}", file=sys.stderr)
        code = 2
    except KeyboardInterrupt:
        code = 130
    except BrokenPipeError:
        # Whoever read our output (head, say) has seen enough; nothing more may be printed, not even at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 141
    sys.exit(code)
