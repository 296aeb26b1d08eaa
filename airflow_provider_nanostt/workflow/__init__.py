"""One recording, or a batch of them, from what a user asks for to a transcript that is paid for once.

``transcribe`` has the story of one recording, ``recovery`` says what an earlier attempt has left, ``submit`` is the
only way to a charge, ``batch`` does it for many. Airflow's operators call this; nothing here knows operators or
triggers.
"""
