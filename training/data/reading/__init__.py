"""Reading of images: a survey, the choice of the image format, decoding, and splits."""
