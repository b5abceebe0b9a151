"""Who wins: the user's rules, and the decision for one contested row. Pure functions.

Agrees with the project's model of the merge rules for `lww`, `sum` and `newer_wins`. Knows `model` only;
must not know where rows come from or where decisions go.
"""
