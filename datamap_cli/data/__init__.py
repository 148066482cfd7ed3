"""The user's own files: data sets in, chosen rows of them out. Foreign, so every row is looked at."""
