"""How fast it is, stage by stage, in memory, and against other trackers; and what each switch of it contributes."""

import os
import sys

from cyclopts import App

from tracker.errors import InputError

LIMITS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")


def main() -> None:
    if sys.argv[1:2] == ["association"]:
        os.environ |= dict.fromkeys(LIMITS, "1")  # numerical libraries read these once, when they are loaded
    from benchmarks import commands

    app = App(name="benchmark.py", help=__doc__, help_format="plaintext", version_flags=())
    app.default(commands.stages)
    app.command(commands.memory)
    app.command(commands.startup)
    app.command(commands.rivals)
    app.command(commands.association)
    app.command(commands.switches)
    app.command(commands.detectors)
    app.command(commands.backends)
    try:
        for text in app(result_action="return_value") or ():
            print(text, flush=True)
    except InputError as error:
        print(f"benchmark.py: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:  # whoever read the output has seen enough; nothing more may be printed, not even at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)


if __name__ == "__main__":
    main()
