"""Neural networks: detectors, embedders, and the code that loads and runs them.

- detection/: Faster R-CNN, Mask R-CNN and torchvision's other detectors; its `__init__` lists the parts.
- reid/: embedders (Re-ID) and classifiers of crops.
- runtime/: devices, backends (PyTorch, OpenVINO, ONNX Runtime), half precision, and weights in files.
- model_file: .safetensors files whose header holds categories, license and provenance.
"""
