"""The formats of a transcript: a line in ``registry`` and a module for each; ``render`` makes them."""
