"""What of scripts and definitions written for another Caffe would not work here, and the fix."""
