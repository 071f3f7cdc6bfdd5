"""Measures speed and memory, compares with other trackers and detectors, and measures the effect of each setting."""

import os
import sys

from cyclopts import App

from tracker.errors import InputError

THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")


def main() -> None:
    if sys.argv[1:2] in (["association"], ["association-accuracy"], ["leave-one-out"], ["track-quality"]):
        os.environ |= dict.fromkeys(THREAD_VARIABLES, "1")  # numerical libraries read these when they are loaded
    from benchmarks import commands

    app = App(name="benchmark.py", help=__doc__, help_format="plaintext", version_flags=())
    app.default(commands.stages)
    app.command(commands.memory)
    app.command(commands.startup)
    app.command(commands.baselines)
    app.command(commands.association)
    app.command(commands.association_accuracy)
    app.command(commands.leave_one_out)
    app.command(commands.track_quality)
    app.command(commands.ablation)
    app.command(commands.detectors)
    app.command(commands.backends)
    app.command(commands.batches)
    app.command(commands.input_sizes)
    app.command(commands.counts)
    app.command(commands.embedder_gaps)
    app.command(commands.blurred)
    app.command(commands.keyboard_repair)
    app.command(commands.long_view)
    app.command(commands.batch_speed)
    app.command(commands.killed_runs)
    app.command(commands.store)
    app.command(commands.live_faults)
    app.command(commands.glass_to_page)
    try:
        for text in app(result_action="return_value") or ():
            print(text, flush=True)
    except InputError as error:
        print(f"benchmark.py: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:  # the reader closed the pipe; nothing more may be printed, not even at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)


if __name__ == "__main__":
    main()
