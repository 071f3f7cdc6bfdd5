"""Annotated images: COCO, Pascal VOC, YOLO and MOTChallenge files."""
