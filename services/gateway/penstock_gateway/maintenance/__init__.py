"""Background duties: deletion, retention, the blob sweeper and readiness."""
