"""The measurements: `python3 run.py bench`, or `python -m bench --help`.

Every figure is taken over several runs and, where there is one, beside the bare operation in the same
run: a plain `executemany`, a COPY into a temporary table, a request that does nothing. Ratios travel
between machines, absolute numbers do not. Targets are those of the design of record, section 10.
"""
