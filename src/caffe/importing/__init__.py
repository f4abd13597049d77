"""Models from PyTorch and ONNX as nets: one small graph, one table of operators, a check at the end."""
