"""The query index: a disposable SQLite database that answers lists, fed from the jobs view."""
