"""The entry point of the command line, as `track` and as `python -m tracker`."""

import sys

from tracker.cli.usage import HELP


def main() -> None:
    """Runs the command line and exits; the short help comes at once, without the modules of the commands."""
    if sys.argv[1:] in (["--help"], ["-h"]):
        try:
            sys.stdout.write(HELP)
            sys.stdout.flush()
        except OSError:
            pass  # which the command line tells of
        else:
            return
    from tracker.cli.app import main as run

    run()


if __name__ == "__main__":
    main()
