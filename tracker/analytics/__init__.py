"""Counts, dwell times, flows, heat maps and speeds of the final tracks of a run."""

from tracker.analytics.analysis import Analysis, analyze_tracks, image_size, video_duration
from tracker.analytics.counts import CountRow, count_crossings
from tracker.analytics.crossings import Crossing, find_crossings
from tracker.analytics.heatmap import draw_heat_map, heat_map
from tracker.analytics.speed import GroundPlane, TrackSpeed, measure_speeds
from tracker.analytics.trajectories import Trajectory, trajectories
from tracker.analytics.zones import Flow, OccupancyRow, Visit, count_flows, find_visits, measure_occupancy

__all__ = [
    "Analysis",
    "CountRow",
    "Crossing",
    "Flow",
    "GroundPlane",
    "OccupancyRow",
    "TrackSpeed",
    "Trajectory",
    "Visit",
    "analyze_tracks",
    "count_crossings",
    "count_flows",
    "draw_heat_map",
    "find_crossings",
    "find_visits",
    "heat_map",
    "image_size",
    "measure_occupancy",
    "measure_speeds",
    "trajectories",
    "video_duration",
]
