"""The interface by which a caller follows a run and can stop it."""

from tracker.pipeline.stage_timer import StageTimer
from tracker.structures.types import Frame, Tracks
from tracker.video import Source


class RunMonitor:
    """Follows a run over a source, and can stop it; this base class does neither. Override what is needed.

    All methods but `stop_requested` are called from one thread at a time.

    Example:
        >>> class FirstHundred(RunMonitor):
        ...     frames = 0
        ...
        ...     def on_frame(self, source, frame, tracks):
        ...         self.frames += 1
        ...
        ...     def stop_requested(self):
        ...         return self.frames >= 100
    """

    def on_start(self, source: Source, timer: StageTimer) -> None:
        """Called before the first frame of a run that writes files, with the time spent in each stage so far."""

    def on_first_pass(self, source: Source, frame: Frame) -> None:
        """Called with `offline`, after each frame of the first pass over the source."""

    def on_frame(self, source: Source, frame: Frame, tracks: Tracks) -> None:
        """Called after each frame, once its tracks have been handed to the writers."""

    def stop_requested(self) -> bool:
        """Returns True to stop; called after each `on_first_pass` and each `on_frame`.

        A live source calls it too, from another thread, while it waits for a frame.

        In the first pass that ends the pass, and the frames analyzed so far are tracked and written. Otherwise the run
        ends after the current frame, and its files are finished.
        """
        return False
