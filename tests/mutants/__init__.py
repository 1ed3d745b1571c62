"""Deliberate faults: each breaks a line or two of likely/, and the tests that it names have to notice.

`python -m tests.mutants [words]` tries those whose room, file or name holds one of the words; all without any.
"""
