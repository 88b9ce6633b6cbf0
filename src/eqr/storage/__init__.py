"""Models and training states on disk, on the hub, and as ONNX files."""
