"""From a source to tracks and files: analysis, tracking runs, several sources at once."""
