"""The HTML page of a transcript: ``page`` fills the template, ``page_text`` makes the paragraphs."""
