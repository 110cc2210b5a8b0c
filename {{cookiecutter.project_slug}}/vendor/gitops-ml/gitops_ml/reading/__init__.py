"""What a file holds: its kind, how its values are written, and what its columns therefore are.

Comes in: a CSV, Parquet, JSON or Excel file. `sources.py` gives its rows in pieces. A first pass gathers what each
column holds (`columns.py`, with a module for each question: `missing.py`, `amounts.py`, `dates.py`), `decide.py` says
how it is written and `guesses.py` what of that was a guess; `later.py` reads by the schema instead.
"""
