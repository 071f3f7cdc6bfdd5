"""The path from a source to tracks and files: analysis of frames, tracking runs, several sources at once."""
