"""The report of a run as one HTML file."""

from tracker.analytics.report.build import write_report

__all__ = ["write_report"]
