"""Reviewing in a terminal: what is decided (`state`), what is shown and what a key does (`view`), keys (`keyboard`)."""
