"""Image files of any camera or encoder as upright images: one reader for training and service."""

from service.artifact.image_files.other_formats import ALL_FORMATS, OPTIONAL_TYPES
from service.artifact.image_files.reader import ImageFile, open_image

__all__ = ["ALL_FORMATS", "OPTIONAL_TYPES", "ImageFile", "open_image"]
