"""Attempts on this runner: preparation, execution, uploads and reports."""
