"""The tab *Transcript*: what it shows to whom, and what it refuses."""
