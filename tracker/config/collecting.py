"""Which crops of tracks are kept: `track crops`."""

from typing import Annotated

from pydantic import Field

from tracker.config.run import Config, TrackerConfig
from tracker.config.section import Count, NonNegative, Section


class CropsConfig(Section):
    """Which crops of tracks are kept, and how."""

    per_track: Count = 16
    """Most crops of a track: the best one, and those most different from it and from each other."""
    margin: NonNegative = 0.0
    """By how much of its size a box is grown on each side before it is cut out."""
    shortest: NonNegative = 0.5
    """Seconds that a track lasts at least; shorter ones are left out."""
    quality: Annotated[int, Field(ge=90, le=100)] = 95
    """JPEG quality of the crops."""


PURE = Config(tracker=TrackerConfig(max_age=0.5))
"""How videos are tracked to learn from their tracks without labels: one that goes on with somebody else after a long
break teaches wrong things, and two tracks of one individual teach nothing wrong."""
