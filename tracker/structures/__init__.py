"""The data that passes between the parts: frames, detections, tracks, boxes, masks."""
