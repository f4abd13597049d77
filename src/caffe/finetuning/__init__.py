"""From a folder of images to a trained net in a model folder."""
