"""datamap: find the mislabelled, the ambiguous and the easy examples of a text data set."""

__version__ = "0.1.0"
