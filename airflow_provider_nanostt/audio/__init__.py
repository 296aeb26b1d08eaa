"""From a recording that a user names to something the service accepts; every refusal comes before money is spent.

``sources`` names recordings, ``inspect`` reads what they are, ``prepare`` makes what is submitted. Nothing here talks
to the transcription service.
"""
