"""What runs a step: as it is, compiled, or as a graph in ONNX Runtime or OpenVINO."""
