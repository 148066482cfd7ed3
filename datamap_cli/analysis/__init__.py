"""What follows from a summary, pure: arrays and frames in, rankings, rows and measures out."""
