"""Sources of images: folders, archives, tables, arrays and Hugging Face data sets."""
