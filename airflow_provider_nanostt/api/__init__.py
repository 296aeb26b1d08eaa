"""A plain NanoGPT speech-to-text client, usable without Airflow; this file only names what is public.

``endpoints`` has the requests, ``responses`` reads the answers, ``transport`` sends and receives, ``models`` is what
comes back and ``errors`` what is raised. No Airflow in here.
"""
