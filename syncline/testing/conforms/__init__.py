"""The parts of the conformance suite, by subject. Use `syncline.testing.conformance`."""
