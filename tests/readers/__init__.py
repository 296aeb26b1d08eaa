"""Our formats, read by programs that somebody else wrote; `make readers` has them, elsewhere these tests skip."""
