"""Storing of what the networks say about each frame, before tracking."""

from contextlib import ExitStack
from pathlib import Path

import numpy as np

from tracker.config import Config
from tracker.data.store import StoredFrame, StoreInfo
from tracker.errors import InputError
from tracker.output import DetectionStore, DetectionWriter, OutputFile, VideoInfo
from tracker.output.detection_store import remove_store
from tracker.pipeline.analyzer import FrameAnalyzer
from tracker.pipeline.frame_analysis import FrameAnalysis


class AnalysisRecorder(OutputFile):
    """Writes the analyses of a run's frames to the store in its folder, and to the table of `config.detections`.

    Attributes:
        store: The store; None before the first frame, and without one.
    """

    def __init__(
        self, config: Config, info: VideoInfo, analyzer: FrameAnalyzer, folder: Path | None, kept: int = -1
    ) -> None:
        """Prepares to write; nothing is created or removed before the first frame.

        Args:
            config: All settings.
            info: Properties of the source.
            analyzer: What analyzes the frames.
            folder: The folder of the results; None where there is none.
            kept: Index of the last frame in the parts of the store that are kept; -1 for a new store.
        """
        self._config = config
        self._info = info
        self._analyzer = analyzer
        self._folder = folder
        self._kept = kept
        self._table: DetectionWriter | None = None
        self._is_open = False
        self._files = ExitStack()
        self.store: DetectionStore | None = None

    def write(self, analysis: FrameAnalysis) -> None:
        """Writes the analysis of a frame.

        Raises:
            InputError: A file cannot be created or written.
        """
        if not self._is_open:
            self._open(analysis)
        if self._table is not None and analysis.detector_ran:
            self._table.write(analysis.frame, analysis.detections)
        if self.store is not None:
            self.store.write(_stored(analysis))

    def finish(self, is_complete: bool) -> None:
        """Closes the files; `is_complete` is False if the source has further frames."""
        if self.store is not None:
            self.store.is_complete = is_complete
        self._files.close()

    def close(self) -> None:
        self._files.close()

    def _open(self, analysis: FrameAnalysis) -> None:
        self._is_open = True
        output = self._config.output
        if output.detections:
            path = Path(output.detections).expanduser()
            table = DetectionWriter(path, self._info, self._analyzer.categories, output.overwrite)
            self._table = self._files.enter_context(table)
        if self._folder is None:
            return
        if output.store and self._analyzer.is_worth_storing:
            info = store_info(self._info, self._config, self._analyzer, analysis)
            self.store = self._files.enter_context(DetectionStore(self._folder, info, self._kept))
            return
        try:
            remove_store(self._folder)  # of an earlier run, which is overwritten
        except OSError as error:
            raise InputError(f"cannot write to {self._folder}: {error.strerror}; choose another folder") from None


def store_info(info: VideoInfo, config: Config, analyzer: FrameAnalyzer, analysis: FrameAnalysis) -> StoreInfo:
    """Returns what the stored detections say of the run, by the analysis of any of its frames."""
    masks = analysis.detections.data.get("masks")
    size = analysis.embeddings.shape[1]
    appearance = config.appearance
    return StoreInfo(
        name=info.name,
        categories=tuple(analyzer.categories),
        width=info.width,
        height=info.height,
        frame_rate=info.frame_rate,
        time_base=info.time_base,
        embedding_size=size,
        embedder="" if not size else "roi" if appearance.embedding_source == "roi" else appearance.embedder,
        reid_class_ids=tuple(analyzer.reid_class_ids),
        neutral_distance=analyzer.neutral_distance,
        fine_categories=tuple(analyzer.fine_categories),
        fine_class_ids=tuple(analyzer.fine_class_ids),
        mask_size=0 if masks is None else masks.shape[1],
    )


def _stored(analysis: FrameAnalysis) -> StoredFrame:
    frame = analysis.frame
    return StoredFrame(
        frame.index,
        frame.pts,
        frame.time,
        analysis.detections,
        analysis.embeddings,
        analysis.class_probs.astype(np.float32),
        analysis.detector_ran,
        frame.fit,
    )
