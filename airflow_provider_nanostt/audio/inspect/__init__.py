"""What a recording is, from its bytes: its format and its length, also over HTTP. Writes and converts nothing."""
