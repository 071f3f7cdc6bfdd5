"""The class numbers of the MOTChallenge's ground truth.

Sources: Milan et al. 2016, MOT16, arXiv 1603.00831, where the first class is called pedestrian and the fifth motorbike;
the last one is of Dendorfer et al. 2020, MOT20, arXiv 2003.09003.
"""

CLASSES = (
    "person",
    "person on vehicle",
    "car",
    "bicycle",
    "motorcycle",
    "non motorized vehicle",
    "static person",
    "distractor",
    "occluder",
    "occluder on the ground",
    "occluder full",
    "reflection",
    "crowd",
)
"""Names of the classes; the class id counts from 1."""

NEUTRAL_CLASSES = ("person on vehicle", "static person", "distractor", "reflection", "crowd")
"""Classes that look like persons: detecting them is neither a true nor a false positive."""
