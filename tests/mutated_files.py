"""Damages files of users in many seeded ways, and runs what reads them; as a program, it reports how each one ended.

    python tests/mutated_files.py KIND FIRST_SEED COUNT

prints a line of JSON for each file, and last the peak memory of the process in bytes.
"""

import json
import random
import re
import resource
import shutil
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

import image_sets
from tool_exports import EXPORTS, write_export
from tracker import read_detections
from tracker.config import DetectorConfig, DetectorTrainingConfig, load_config, read_yaml, validate_section
from tracker.data.annotations.load import load_with_problems
from tracker.data.check import class_counts, total_counts
from tracker.errors import InputError
from tracker.evaluation.mot.files import read_tracks

EXTREMES = (
    b"1e999", b"-1", b"123456789", b"4096", b"100000", b"0", b"NaN", b"-Infinity", b"9" * 5000, b"9" * 400,
    b"1" + b"0" * 25, b"1e-320", b"0.5.5", b"0x10", b"true", b"null", b'"a"', b"[]", b"{}", b"",
)  # fmt: skip
CHUNKS = (
    b"[" * 3000, b'{"a":' * 3000, b"<a>" * 500, b"- " * 2000, b"x" * 5000, b"../" * 200, b"\x00" * 8, b"\xff\xfe",
    b"\xef\xbb\xbf", b"\xed\xa0\x80", b"\\ud800", b"\r", b'"', b"'", b"&a [*a]", b"&lt;&#0;",
    b"!!python/name:os.system x", "\xe9\u2028\u202e".encode(),
)  # fmt: skip
BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{b}: &{b} [{', '.join(f'*{a}' for _ in range(9))}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)
ENTITIES = (
    '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">'
    + "".join(f'<!ENTITY {b} "{f"&{a};" * 10}">' for a, b in zip("abcdefg", "bcdefgh", strict=True))
    + "]>"
)
NUMBER = re.compile(rb"-?\d+(?:\.\d+)?")


@dataclass(frozen=True)
class Case:
    """Files to damage in a folder, and what reads them."""

    files: list[Path]
    read: Callable[[], object]


def mutate(data: bytes, rng: random.Random) -> bytes:
    """Damages bytes once or a few times."""
    for _ in range(rng.choice((1, 1, 2, 5))):
        data = rng.choice(MUTATIONS)(data, rng)
    return data


def _extreme_number(data: bytes, rng: random.Random) -> bytes:
    found = list(NUMBER.finditer(data[:200_000]))
    if not found:
        return data
    match = rng.choice(found)
    return data[: match.start()] + rng.choice(EXTREMES) + data[match.end() :]


def _insert(data: bytes, rng: random.Random) -> bytes:
    position = rng.randint(0, len(data))
    return data[:position] + rng.choice(CHUNKS) + data[position:]


def _flip(data: bytes, rng: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.choice((1, 3, 20))):
        if changed:
            changed[rng.randrange(min(len(changed), 100_000))] = rng.randrange(256)
    return bytes(changed)


def _cut(data: bytes, rng: random.Random) -> bytes:
    return data[: rng.randint(0, len(data))]


def _remove(data: bytes, rng: random.Random) -> bytes:
    start = rng.randint(0, len(data))
    return data[:start] + data[start + rng.choice((1, 5, 100)) :]


def _repeat(data: bytes, rng: random.Random) -> bytes:
    start = rng.randint(0, len(data))
    part = data[start : start + rng.choice((5, 50, 500))]
    return data[:start] + part * rng.choice((2, 50)) + data[start:]


def _recode(data: bytes, rng: random.Random) -> bytes:
    return data.decode("latin-1").encode(rng.choice(("utf-16", "utf-16-le", "utf-32", "cp037", "utf-8")), "replace")


def _bomb(data: bytes, rng: random.Random) -> bytes:
    return rng.choice(
        (
            BOMB.encode() + data,
            ENTITIES.encode() + data,
            data.replace(b"<annotation", ENTITIES.encode() + b"<annotation", 1),
        )
    )


MUTATIONS = (_extreme_number, _extreme_number, _extreme_number, _insert, _flip, _cut, _remove, _repeat, _recode, _bomb)


# --- what is read ---


def annotations(path: Path) -> Callable[[], object]:
    def read() -> object:
        loaded = load_with_problems(path, {})
        return class_counts(loaded.image_set), total_counts(loaded.image_set), [str(one) for one in loaded.problems]

    return read


def write_case(kind: str, folder: Path) -> Case:
    """Writes undamaged files of a kind."""
    if kind in EXPORTS:
        path = write_export(kind, folder)
        files = [
            file
            for file in folder.rglob("*")
            if file.suffix.lower() in (".json", ".xml", ".txt", ".yaml", ".data", ".names")
        ]
        return Case(files, annotations(path))
    if kind == "mot annotations":
        sequence = image_sets.write_mot(folder / "a", 3)
        return Case([sequence / "gt" / "gt.txt"], annotations(sequence))
    if kind == "mot detections":
        sequence = image_sets.write_mot(folder / "a", 3)
        file = sequence / "gt" / "gt.txt"
        return Case([file, sequence / "seqinfo.ini"], lambda: (read_detections(file).count(), read_tracks(file)))
    if kind == "coco detections":
        file = image_sets.write_coco(folder, 3)
        return Case([file], lambda: read_detections(file).count())
    if kind == "csv":
        file = folder / "detections.csv"
        rows = [f"{n},{n / 10},person,0.9,{n}.5,2.25,30,40,64,48,0" for n in range(20)]
        file.write_text("frame,time_s,class,score,x1,y1,x2,y2,width,height,label\n" + "\n".join(rows) + "\n")
        return Case([file], lambda: read_detections(file).duration())
    if kind == "settings":
        shutil.copy(Path(__file__).parents[1] / "configs" / "botsort.yaml", folder / "a.yaml")
        return Case([folder / "a.yaml"], lambda: load_config(folder / "a.yaml"))
    if kind == "training settings":
        shutil.copy(Path(__file__).parents[1] / "configs" / "detector_builtin.yaml", folder / "a.yaml")
        return Case(
            [folder / "a.yaml"], lambda: validate_section(DetectorTrainingConfig, read_yaml(folder / "a.yaml"), "a")
        )
    return _write_weights(kind, folder)


def _write_weights(kind: str, folder: Path) -> Case:
    from tracker.models.detection import BUILTIN as DETECTOR
    from tracker.models.detection import load_detector
    from tracker.models.model_file import METADATA_KEY, load_model
    from tracker.models.reid import BUILTIN as EMBEDDER
    from tracker.models.reid import load_embedder

    device = torch.device("cpu")
    if kind == "detector":
        file = folder / "a.safetensors"
        shutil.copy(DETECTOR, file)
        return Case(
            [file], lambda: load_detector(DetectorConfig(weights=str(file), device="cpu", backend="torch")).close()
        )
    if kind == "embedder":
        file = folder / "a.safetensors"
        shutil.copy(EMBEDDER, file)
        return Case([file], lambda: load_embedder(str(file), device).close())
    state, info = load_model(EMBEDDER)
    file = folder / "a.ckpt"
    tensors = {f"model.{key}": torch.from_numpy(value) for key, value in state.items()}
    torch.save({METADATA_KEY: info.model_dump_json(), "state_dict": tensors, "global_step": 3}, file)
    return Case([file], lambda: load_embedder(str(file), device).close())


TEXT_KINDS = (*EXPORTS, "mot annotations", "mot detections", "coco detections", "csv", "settings", "training settings")
WEIGHTS_KINDS = ("detector", "embedder", "checkpoint")


def run(kind: str, seeds: range, folder: Path) -> list[dict[str, object]]:
    """Damages and reads files of a kind; returns for each seed how it ended: read, refused, or a traceback."""
    (folder / "whole").mkdir(parents=True)
    whole = write_case(kind, folder / "whole")
    whole.read()
    originals = {file.relative_to(folder / "whole"): file.read_bytes() for file in whole.files}
    results = []
    for seed in seeds:
        rng = random.Random(f"{kind} {seed}")
        name = rng.choice(sorted(originals))
        (folder / "whole" / name).write_bytes(_mutate_file(name, originals[name], rng))
        start = time.monotonic()
        outcome, message = _attempt(whole.read)
        results.append(
            {"kind": kind, "seed": seed, "outcome": outcome, "seconds": time.monotonic() - start, "message": message}
        )
        (folder / "whole" / name).write_bytes(originals[name])
    return results


def _mutate_file(name: Path, data: bytes, rng: random.Random) -> bytes:
    if name.suffix == ".safetensors" and rng.random() < 0.7:  # the header, with a length that fits
        length = int.from_bytes(data[:8], "little")
        header = mutate(data[8 : 8 + length], rng)
        return len(header).to_bytes(8, "little") + header + data[8 + length :]
    return mutate(data, rng)


def _attempt(read: Callable[[], object]) -> tuple[str, str]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", RuntimeWarning)
            read()
    except InputError as error:
        return ("refused", str(error)) if "\n" not in str(error) else ("lines", str(error))
    except BaseException:
        return "traceback", traceback.format_exc()
    return "read", ""


def peak_memory() -> int:
    """Returns the most memory of this process, bytes; `getrusage` would count that of the one that started it too."""
    status = Path("/proc/self/status")
    if status.exists():
        return int(re.search(r"VmHWM:\s+(\d+) kB", status.read_text())[1]) * 1024  # type: ignore[index]
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main() -> None:
    kind, first, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        for result in run(kind, range(first, first + count), Path(folder) / "a"):
            print(json.dumps(result))
    print(peak_memory())


if __name__ == "__main__":
    main()
