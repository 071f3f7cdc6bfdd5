"""Places of the labels of boxes in an image, such that no label covers another one."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple


class Place(NamedTuple):
    """A rectangle for a label.

    Attributes:
        left: Pixels from the left edge of the image.
        top: Pixels from the upper edge.
        width: Pixels.
        height: Pixels.
    """

    left: int
    top: int
    width: int
    height: int

    def covers(self, other: "Place") -> bool:
        """Returns True if both have a pixel in common."""
        return (
            self.left < other.left + other.width
            and other.left < self.left + self.width
            and self.top < other.top + other.height
            and other.top < self.top + self.height
        )


class LabelLayout:
    """Chooses text and place of each label in successive frames.

    A label stays where it was in the frame before, relative to its box, if nothing is there; otherwise the first free
    place counts: above the box, below, in its upper or lower edge, then at its right end, and beside it. A shorter text
    is tried before the places that are farther away. A label that fits nowhere is left out.

    Example:
        >>> layout = LabelLayout(100, 100)
        >>> boxes = [(10, 50, 40, 90), (12, 50, 42, 90)]
        >>> texts = [[("1 0.9", 30, 10), ("1", 8, 10)], [("2 0.8", 30, 10), ("2", 8, 10)]]
        >>> [(text, place.left, place.top) for text, place in layout.arrange([1, 2], boxes, texts)]
        [('1 0.9', 10, 40), ('2 0.8', 12, 90)]
    """

    def __init__(self, width: int, height: int) -> None:
        """Takes the size of the images, pixels."""
        self._width, self._height = width, height
        self._chosen: dict[int, tuple[int, int]] = {}  # number of text and position of each label in the latest frame

    def arrange(
        self,
        ids: Sequence[int],
        boxes: Sequence[tuple[int, int, int, int]],
        texts: Sequence[Sequence[tuple[str, int, int]]],
    ) -> list[tuple[str, Place] | None]:
        """Returns text and place of each label, None for one that fits nowhere; lower ids come first.

        Args:
            ids: The track of each box, each once.
            boxes: Corners x1, y1, x2, y2, pixels.
            texts: The texts for each box, the best first, with width and height of the label, pixels.
        """
        labels: list[tuple[str, Place] | None] = [None] * len(ids)
        taken: list[Place] = []
        chosen: dict[int, tuple[int, int]] = {}
        for index in sorted(range(len(ids)), key=ids.__getitem__):
            sizes = [(width, height) for _, width, height in texts[index]]
            for number, position in self._candidates(self._chosen.get(ids[index]), len(sizes)):
                place = self._place(position, boxes[index], *sizes[number])
                if not any(place.covers(other) for other in taken):
                    labels[index] = texts[index][number][0], place
                    taken.append(place)
                    chosen[ids[index]] = number, position
                    break
        self._chosen = chosen
        return labels

    @staticmethod
    def _candidates(before: tuple[int, int] | None, count: int) -> Iterator[tuple[int, int]]:
        """Yields number of text and position in the order in which they are tried."""
        if before is not None and before[0] == 0:
            yield before
        for positions in (_NEAR, _FAR):
            for number in range(count):
                if before is not None and before[0] == number > 0 and before[1] in positions:
                    yield before
                for position in positions:
                    yield number, position

    def _place(self, position: int, box: tuple[int, int, int, int], width: int, height: int) -> Place:
        """Returns a rectangle of a size at a position of a box, moved into the image."""
        x1, y1, x2, y2 = box
        left, top = (
            (x1, y1 - height),
            (x1, y2),
            (x1, y1),
            (x1, y2 - height),
            (x2 - width, y1 - height),
            (x2 - width, y2),
            (x2 - width, y1),
            (x2 - width, y2 - height),
            (x2, y1),
            (x1 - width, y1),
            (x2, y2 - height),
            (x1 - width, y2 - height),
        )[position]
        if position in _ABOVE and top < 0:  # inside of a box that reaches the upper edge
            top = y1
        left = max(0, min(left, self._width - width))
        return Place(left, max(0, min(top, self._height - height)), width, height)


_NEAR, _FAR = range(4), range(4, 12)
_ABOVE = (0, 4)
