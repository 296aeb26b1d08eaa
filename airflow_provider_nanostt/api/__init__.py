"""A plain NanoGPT speech-to-text client, usable without Airflow; this file only names what is public.

``protocol`` builds requests and reads answers without any I/O, ``transport`` sends them, ``models`` is what comes back
and ``errors`` what is raised. No Airflow in here.
"""
