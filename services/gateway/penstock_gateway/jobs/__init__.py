"""The application core: submission, queries and commands of jobs."""
