"""Pages in a browser: nets as graphs, training as curves, what is in files; what ``caffe view`` and ``watch`` show."""
