"""The schema: ``caffe_pb2``, compiled from caffe.proto, and which fork a name comes from."""
