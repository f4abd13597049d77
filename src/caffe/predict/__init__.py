"""What a trained net says of a photo: classes, boxes, or a class for each pixel."""
