"""The logs of a training, which neither hide an error by one of their own nor print one from a thread."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_only


class MetricsLogger(CSVLogger):
    """Lightning's log of metrics in CSV."""

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Writes what is left; after an error, such as that of a full disk, as far as it can be written."""
        with suppress(*([OSError] if status == "failed" else [])):
            super().finalize(status)


class EventLogger(TensorBoardLogger):
    """Lightning's log for TensorBoard."""

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Writes what is left; after an error, such as that of a full disk, as far as it can be written."""
        with suppress(*([OSError] if status == "failed" else [])):
            super().finalize(status)


@contextmanager
def quiet_log_threads() -> Iterator[None]:
    """Keeps threads from printing an OSError: TensorBoard's raises it again where the next value is logged."""
    print_error = threading.excepthook

    def hook(arguments: Any) -> None:
        if not isinstance(arguments.exc_value, OSError):
            print_error(arguments)

    threading.excepthook = hook
    try:
        yield
    finally:
        threading.excepthook = print_error
