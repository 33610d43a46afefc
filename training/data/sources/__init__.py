"""Sources of pictures: folders, archives, tables, arrays and Hugging Face data sets."""
