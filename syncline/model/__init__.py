"""What moves: schemas, values, changes, clock and mask. Frozen records and pure functions, no I/O.

Knows only `syncline.errors`. Everything that needs time, ids or randomness is handed in.
"""
