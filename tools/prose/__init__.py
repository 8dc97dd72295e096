"""Check that names, comments, messages and pages use plain English with the terms of the glossary.

`python -m tools.prose` is part of `make lint`. `docs/explanation/glossary.md` has the terms to use.
"""
