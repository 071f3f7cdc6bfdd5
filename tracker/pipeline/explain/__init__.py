"""Why the tracks of a run are what they are: its stored detections are tracked again, and the decisions recorded."""

from tracker.pipeline.explain.account import Account, Line, Part
from tracker.pipeline.explain.decision_rows import DecisionRow, decision_rows
from tracker.pipeline.explain.explainer import RunExplainer, Superseded

__all__ = ["Account", "DecisionRow", "Line", "Part", "RunExplainer", "Superseded", "decision_rows"]
