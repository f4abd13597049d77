"""A prediction server: nets behind HTTP, in the Open Inference Protocol and for photos; what ``caffe serve`` runs."""
