"""The formats of a transcript: a line in ``registry``, and one in ``render``, which says which function makes each."""
