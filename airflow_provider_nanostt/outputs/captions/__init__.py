"""Captions: ``layout`` decides where they are cut and when they are shown, ``srt_vtt`` writes the two formats."""
