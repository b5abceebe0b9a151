"""For those who test against Syncline, or extend it: public, and never imported by the rest.

`conformance` is the contract of a central database as a pytest suite. Needs pytest.
"""
