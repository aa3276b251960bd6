"""What runs a step: compiled or captured by torch, or as a graph in ONNX Runtime or OpenVINO."""
