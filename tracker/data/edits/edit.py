"""One repair of the tracks of a run."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal, get_args

import numpy as np

from tracker.errors import InputError

Verb = Literal["merge", "split", "swap", "rename", "class", "delete", "box"]
Keys = tuple[tuple[int, float, float, float, float], ...]
"""Key frames of a box: frame, then x1 y1 x2 y2 in pixels of the upright image; frames ascend."""
Anchors = dict[str, tuple[tuple[int, float, float, float, float], ...]]

VERBS: tuple[str, ...] = get_args(Verb)
_IDS = {"merge": 2, "swap": 2}
_WITH_FRAME = ("split", "swap")


@dataclass(frozen=True)
class Edit:
    """One repair of the tracks of a run.

    Attributes:
        verb: merge (the second track becomes part of the first), split (from `frame` on, the track is `new_id`), swap
            (from `frame` on, both tracks have each other's id), rename (the track's id is `new_id`), class, delete, or
            box (the boxes of the track in some frames).
        ids: The track; of merge and swap two.
        frame: Index of the first frame that split and swap change; -1 for others.
        new_id: Of split and rename; 0 for others.
        category: Name of the new class; of merge and box that of the first track, for the rows that become its own.
        keys: The key frames of box; between two of them the box is interpolated.
        anchors: Some boxes of each track before the edit, by id, which tell the track after tracking anew.
        shared: Number of frames in which both tracks of a merge have a box, of which one stays.
    """

    verb: Verb
    ids: tuple[int, ...]
    frame: int = -1
    new_id: int = 0
    category: str = ""
    keys: Keys = ()
    anchors: Anchors = field(default_factory=dict)
    shared: int = 0

    def __post_init__(self) -> None:
        """Checks the edit by itself.

        Raises:
            InputError: Something is missing or makes no sense.
        """
        if len(self.ids) != _IDS.get(self.verb, 1):
            raise InputError(f"{self.verb} takes {_IDS.get(self.verb, 1)} tracks, and {len(self.ids)} were given")
        if len(set(self.ids)) < len(self.ids):
            raise InputError(f"{self.verb} needs two tracks, and {self.ids[0]} was given twice")
        if self.verb in _WITH_FRAME and self.frame < 0:
            raise InputError(f"{self.verb} needs the frame from which on it counts")
        if self.verb == "class" and not self.category:
            raise InputError("class needs the name of the class")
        if self.verb == "box":
            _check_keys(self.keys)

    @property
    def known_ids(self) -> set[int]:
        """All ids that the edit names."""
        return {*self.ids, *([self.new_id] if self.new_id else [])}

    def describe(self) -> str:
        """Returns the edit in words.

        Example:
            >>> Edit("merge", (12, 7)).describe(), Edit("split", (3,), frame=40, new_id=9).describe()
            ('merge 12 and 7', 'split 3 at frame 40: 9 from there on')
        """
        first, last = self.ids[0], self.ids[-1]
        match self.verb:
            case "merge":
                return f"merge {first} and {last}{self._describe_shared()}"
            case "split":
                return f"split {first} at frame {self.frame}: {self.new_id} from there on"
            case "swap":
                return f"swap {first} and {last} from frame {self.frame} on"
            case "rename":
                return f"rename {first} to {self.new_id}"
            case "class":
                return f"set the class of {first} to {self.category}"
            case "delete":
                return f"delete {first}"
        frames = (
            f"frame {self.keys[0][0]}" if len(self.keys) == 1 else f"frames {self.keys[0][0]} to {self.keys[-1][0]}"
        )
        return f"set the box of {first} in {frames}"

    def _describe_shared(self) -> str:
        frames = "1 frame" if self.shared == 1 else f"{self.shared} frames"
        return f"; both have a box in {frames}, where one of the two stays" if self.shared else ""

    def with_every_key(self) -> "Edit":
        """Returns the edit with the boxes between the key frames of box as keys too: a person has set them all.

        Example:
            >>> edit = Edit("box", (3,), keys=((4, 0, 0, 8, 8), (6, 2, 0, 10, 8)))
            >>> edit.with_every_key().keys[1]
            (5, 1.0, 0.0, 9.0, 8.0)
        """
        if self.verb != "box":
            return self
        keys = np.array(self.keys, np.float64)
        frames = np.arange(keys[0, 0], keys[-1, 0] + 1)
        columns = [frames.astype(np.int64).tolist(), *(np.interp(frames, keys[:, 0], keys[:, n]) for n in range(1, 5))]
        return replace(self, keys=_keys(zip(*columns, strict=True)))

    def to_json(self) -> dict[str, Any]:
        """Returns what JSON can hold; attributes that say nothing are left out."""
        default = {"frame": -1, "new_id": 0, "category": "", "keys": (), "anchors": {}, "shared": 0}
        return {name: value for name, value in asdict(self).items() if name not in default or value != default[name]}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Edit":
        """Reads what `to_json` wrote, or what a page sent.

        Raises:
            InputError: It is no edit.

        Example:
            >>> Edit.from_json(Edit("delete", (4,)).to_json())
            Edit(verb='delete', ids=(4,), frame=-1, new_id=0, category='', keys=(), anchors={}, shared=0)
        """
        try:
            verb = values["verb"]
            if verb not in VERBS:
                raise InputError(f"there is no edit {verb!r}: it is one of {', '.join(VERBS)}")
            return cls(
                verb=verb,
                ids=tuple(_whole(one) for one in values["ids"]),
                frame=_whole(values.get("frame", -1)),
                new_id=_whole(values.get("new_id", 0)),
                category=str(values.get("category", "")),
                keys=_keys(values.get("keys", ())),
                anchors={str(_whole(key)): _keys(rows) for key, rows in dict(values.get("anchors", {})).items()},
                shared=_whole(values.get("shared", 0)),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"this is no edit of tracks ({type(error).__name__}: {error})") from None


def _whole(value: Any) -> int:
    if isinstance(value, bool) or int(value) != float(value):
        raise ValueError(f"{value!r} is no whole number")
    return int(value)


def _keys(rows: Any) -> Keys:
    return tuple((_whole(row[0]), float(row[1]), float(row[2]), float(row[3]), float(row[4])) for row in rows)


def _check_keys(keys: Keys) -> None:
    frames = [key[0] for key in keys]
    if not frames or frames != sorted(set(frames)) or frames[0] < 0:
        raise InputError("box needs key frames in order of time, each once")
    # Also false for NaN.
    if not all(x1 < x2 and y1 < y2 and max(map(abs, (x1, y1, x2, y2))) < 1e6 for _, x1, y1, x2, y2 in keys):
        raise InputError("a box needs x1 < x2 and y1 < y2, in pixels")
