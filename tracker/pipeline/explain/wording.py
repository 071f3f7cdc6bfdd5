"""The decisions about a track in words."""

from collections import Counter
from collections.abc import Callable, Sequence
from math import isnan

from tracker.config import TrackerConfig
from tracker.tracking.costs import gating_threshold
from tracker.tracking.decisions import EndCause, Obstacle, Pair, Round, Step, TrackChange

_ROUNDS = {
    Round.COST: "by its cost",
    Round.TENTATIVE: "by its cost, after the established tracks",
    Round.LOW_SCORE: "by overlap, with a detection of low score",
    Round.LAST_BOX: "by its last detected box",
    Round.OVERLAP: "by overlap",
    Round.BORDER: "at the border of the image",
    Round.WEAK: "as a track of low scores, by overlap",
}
_NO_LIMIT = 2.0
"""Cosine distance that none exceeds."""
Name = Callable[[int, int, float], str]
"""Returns the name of a track by its serial, at a frame and its time."""


class Words:
    """Puts decisions into words."""

    def __init__(self, config: TrackerConfig, name: Name) -> None:
        """Takes the settings of the tracker, and what names other tracks."""
        self._config = config
        self._name = name

    def event(self, event: TrackChange) -> str:
        """Returns why a track was born, confirmed, not confirmed yet, or ended."""
        config = self._config
        match event.kind:
            case "born":
                return self._born(event)
            case "settled":
                if event.evidence >= config.min_evidence:
                    enough = f"min_evidence {config.min_evidence:g}"
                    return f"may be confirmed: evidence of {event.evidence:.1f} nats ({enough})"
                return f"may be confirmed: its detection has a score of at least start_score {config.start_score:g}"
            case "covered":
                return (
                    f"not confirmed after {event.hits} detections: other tracks cover more than max_occlusion "
                    f"{config.max_occlusion:g} of its box, and its evidence of {event.evidence:.1f} nats is not enough"
                )
            case "confirmed":
                return f"confirmed after {event.hits} detections (n_init {config.n_init})"
        return f"ended: {self._cause(event.cause)}"

    def _born(self, event: TrackChange) -> str:
        config = self._config
        least = max(config.start_score, config.high_score)
        why = f"start_score {config.start_score:g}" if least == config.start_score else f"high_score {least:g}"
        text = f"born: a detection of score {event.score:.2f} ({why}) that no track was matched with"
        if event.is_weak:
            text = (
                f"born: a detection of score {event.score:.2f}, less than {why}, that no track was matched with; it "
                f"needs evidence of min_evidence {config.min_evidence:g} nats"
            )
        nearest = event.nearest
        if nearest is None:
            return f"{text}; no track was near it"
        name = self._name(nearest.serial, event.frame, event.time)
        reason = f": {self.obstacle(nearest)}" if nearest.obstacle else ", which was matched with another detection"
        return f"{text}; the nearest was {name}{reason}"

    def _cause(self, cause: EndCause | None) -> str:
        config = self._config
        match cause:
            case EndCause.AGE:
                return f"not detected for longer than max_age {config.max_age:g} s"
            case EndCause.LEFT:
                return f"less than min_visible {config.min_visible:g} of its predicted box was left in the image"
            case EndCause.DUPLICATE:
                return f"a detected track of its class was at its place (duplicate_iou {config.duplicate_iou:g})"
            case EndCause.REPLACED:
                return "its id went on with another track, as there are no more objects (--max-objects, --exactly)"
            case EndCause.TENTATIVE:
                return f"missed in more than {config.tentative_misses} frames before it was confirmed"
        return "its predicted box had no area any more"

    def obstacle(self, pair: Pair) -> str:
        """Returns why a pair could not be matched by its cost."""
        config = self._config
        match pair.obstacle:
            case Obstacle.CLASS:
                return "it has another class"
            case Obstacle.SCORE:
                return f"its score {pair.score:.2f} is below high_score {config.high_score:g}"
            case Obstacle.OVERLAP:
                return f"they overlap by {pair.overlap:.2f}, min_iou {config.min_iou:g}"
            case Obstacle.GATE:
                gate = gating_threshold(config.gating_probability)
                return f"the squared Mahalanobis distance is {pair.motion:.1f}, outside of the gate {gate:.1f}"
            case Obstacle.APPEARANCE:
                return f"the cosine distance is {pair.cosine:.2f}, max_cosine_distance {config.max_cosine_distance:g}"
        return f"the negative log-likelihood is {self._sum(pair)}, max_nll {config.max_nll:g}"

    def _sum(self, pair: Pair) -> str:
        """Returns the negative log-likelihood with its terms."""
        parts = [f"motion {number(pair.motion, 1)}"]
        if pair.absence:
            parts.append(f"absence {number(pair.absence, 1)}")
        if not isnan(pair.appearance):
            parts.append(f"appearance {number(pair.appearance, 1)}")
        return " + ".join(parts) + (f" = {number(pair.likelihood, 1)}" if len(parts) > 1 else "")

    def terms(self, pair: Pair) -> str:
        """Returns the terms of the cost of a pair."""
        parts = [f"overlap {pair.overlap:.2f}"]
        if self._config.association == "likelihood":
            parts.append(f"{self._sum(pair)} nats")
        elif not isnan(pair.motion):
            parts.append(f"squared Mahalanobis distance {pair.motion:.1f}")
        if not isnan(pair.cosine):
            parts.append(f"cosine distance {number(pair.cosine)}")
        return f"{', '.join(parts)}, cost {number(pair.cost)}"

    def matched(self, step: Step) -> str:
        """Returns a match: how, its terms, and the runners-up."""
        text = f"matched {_ROUNDS[step.round or Round.COST]}"
        if step.round in (Round.COST, Round.TENTATIVE) and step.own:
            text += f": {self.terms(step.own)}"
        elif step.own:
            text += f" {1 - step.value:.2f}"
            if step.own.obstacle and step.round is not Round.WEAK:
                text += f"; not by its cost, since {self.obstacle(step.own)}"
        else:
            text += f" {1 - step.value:.2f}"
        return text + self._runners_up(step)

    def _runners_up(self, step: Step) -> str:
        text = ""
        if step.rival:
            text += f"; next best for the detection: {self._name(step.rival.serial, step.frame, step.time)}, "
            text += self._cost_or_obstacle(step.rival)
        if step.other:
            text += f"; next best detection: {self._cost_or_obstacle(step.other)}"
        return text

    def _cost_or_obstacle(self, pair: Pair) -> str:
        return f"not possible, since {self.obstacle(pair)}" if pair.obstacle else f"cost {pair.cost:.2f}"

    def table(self, step: Step) -> list[list[str]]:
        """Returns the terms of a step as a table of texts.

        Its columns are the term, the pair that was matched or, if none was, the likeliest one, the runner-up track, the
        runner-up detection, and the limit. The first row is the heading; rows without a number are left out.
        """
        pairs = step.own, step.rival, step.other
        rival = self._name(step.rival.serial, step.frame, step.time) if step.rival else ""
        rows = [["", "match" if step.round else "likeliest", rival, "other detection" if step.other else "", "limit"]]
        for name, value, limit in self._columns():
            cells = ["" if pair is None or isnan(value(pair)) else number(value(pair)) for pair in pairs]
            if any(cells):
                rows.append([name, *cells, limit])
        if any(pairs):
            rows.append(["possible", *(_verdict(pair) for pair in pairs), ""])
        return rows

    def _columns(self) -> list[tuple[str, Callable[[Pair], float], str]]:
        config, is_likelihood = self._config, self._config.association == "likelihood"
        columns: list[tuple[str, Callable[[Pair], float], str]] = [
            ("score", lambda pair: pair.score, f"\u2265 {config.high_score:g}"),
            ("overlap", lambda pair: pair.overlap, f"\u2265 {config.min_iou:g}"),
        ]
        if is_likelihood:
            columns += [
                ("motion, nats", lambda pair: pair.motion, ""),
                ("absence, nats", lambda pair: pair.absence or float("nan"), ""),
                ("appearance, nats", lambda pair: pair.appearance, ""),
                ("sum, nats", lambda pair: pair.likelihood, f"< {config.max_nll:g}"),
            ]
        elif config.association == "mahalanobis":
            gate = gating_threshold(config.gating_probability)
            columns.append(("squared Mahalanobis distance", lambda pair: pair.motion, f"\u2264 {gate:.2f}"))
        least = f"\u2264 {config.max_cosine_distance:g}" if config.max_cosine_distance < _NO_LIMIT else ""
        columns.append(("cosine distance", lambda pair: pair.cosine, least))
        columns.append(("cost", lambda pair: pair.cost, ""))
        return columns

    def missed(self, step: Step) -> str:
        """Returns why a track was not matched in a frame."""
        own = step.own
        if own is None:
            return "no detection near its predicted place"
        taken = ""
        if step.rival:
            name = self._name(step.rival.serial, step.frame, step.time)
            taken = f"was matched with {name} (cost {step.rival.cost:.2f})"
        if own.obstacle:
            text = f"the likeliest detection, of score {own.score:.2f}, could not be it: {self.obstacle(own)}"
            return f"{text}; it {taken}" if taken else text
        if taken:
            return f"its likeliest detection {taken}; its own match: {self.terms(own)}"
        return f"the assignment of least cost left it out ({self.terms(own)})"

    def reason(self, step: Step) -> str:
        """Returns in few words why a track was not matched in a frame; the same words for the same reason."""
        if step.own is None:
            return "no detection near its predicted place"
        if step.own.obstacle:
            reasons = {
                Obstacle.CLASS: "only a detection of another class near it",
                Obstacle.SCORE: "only a detection of low score near it",
                Obstacle.OVERLAP: "too little overlap with the nearest detection",
                Obstacle.LIKELIHOOD: "the nearest detection was too unlikely",
                Obstacle.GATE: "the nearest detection was outside of the gate",
                Obstacle.APPEARANCE: "the nearest detection looked different",
            }
            return reasons[step.own.obstacle]
        if step.rival:
            return f"its detection went to {self._name(step.rival.serial, step.frame, step.time)}"
        return "left out by the assignment"

    def folded(self, steps: Sequence[Step]) -> str:
        """Returns many frames without events in one sentence."""
        matched = [step for step in steps if step.round]
        text = f"matched in {len(matched)} of {len(steps)} frames"
        pairs = [step.own for step in matched if step.own]
        parts = [_range("overlap", [pair.overlap for pair in pairs], 2)]
        if self._config.association == "likelihood":
            parts.append(
                _range("negative log-likelihood", [pair.likelihood for pair in pairs], 1)
                + f" (max_nll {self._config.max_nll:g})"
            )
        elif self._config.association == "mahalanobis":
            parts.append(_range("squared Mahalanobis distance", [pair.motion for pair in pairs], 1))
        parts.append(_range("cosine distance", [pair.cosine for pair in pairs], 2))
        parts.append(_range("cost", [pair.cost for pair in pairs], 2))
        rounds = Counter(step.round for step in matched if step.round not in (Round.COST, Round.TENTATIVE))
        parts += [f"{count} {_ROUNDS[one]}" for one, count in rounds.items() if one]
        return f"{text}: {', '.join(part for part in parts if part)}{self._closest(matched)}"

    def _closest(self, steps: Sequence[Step]) -> str:
        """Returns the runner-up that came nearest to the match in its place."""
        found = [
            (other.cost - step.own.cost, number, step, other)
            for number, step in enumerate(steps)
            for other in (step.rival, step.other)
            if step.own and other and not other.obstacle
        ]
        if not found:
            return "; no other track or detection could have been it"
        _, _, step, other = min(found, key=lambda each: each[:2])
        own = step.own.cost if step.own else 0.0
        what = self._name(other.serial, step.frame, step.time) if other is step.rival else "another detection"
        return f"; closest rival: {what} at {step.time:.2f} s, cost {other.cost:.2f} against {own:.2f}"


def _verdict(pair: Pair | None) -> str:
    if pair is None:
        return ""
    return f"no: {pair.obstacle}" if pair.obstacle else "yes"


def number(value: float, digits: int = 2) -> str:
    """Returns a number as a text, without a minus before zero.

    Example:
        >>> number(-0.001), number(12.345, 1)
        ('0.00', '12.3')
    """
    return f"{round(value, digits) + 0.0:.{digits}f}"


def _range(name: str, values: Sequence[float], digits: int) -> str:
    known = [value for value in values if not isnan(value)]
    if not known:
        return ""
    low, high = number(min(known), digits), number(max(known), digits)
    return f"{name} {low}" if low == high else f"{name} {low} to {high}"
