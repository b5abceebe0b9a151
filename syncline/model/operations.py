"""The operations of the change log that more than one layer must tell apart.

Besides these the log has I, U, D and R (removed and created again) as devices send them. What is written in
lower case belongs to a past that the centre has lost, or may have: it is the row of that past, and no other
thing of its key ([ADR 12](../../docs/adr/0012-recovery.md)). A tuple of them is a list in SQL.
"""

RETURNED = "i"
"""A row was made again: by an insert that was offered again, maybe in place of an older row; or, where there
was none, from the image of an update. An entry of all columns at HLC 0 is such an image; those of its origin
behind it say what was edited."""

GONE = "d"
"""A delete of a row that the centre may have lost: it need not have met it."""

INSERTS = ("I", RETURNED)
DELETES = ("D", GONE)

PARTIAL = ("U", RETURNED)
"""What may touch some columns of a row alone, as its mask says. Whatever else there is touches all."""
