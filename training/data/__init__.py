"""Data sets, folders of images, splits and augmentation."""
