"""Policy in the log: API tokens, pipelines and limits."""
