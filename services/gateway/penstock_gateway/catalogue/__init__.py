"""The catalogue: workflows that are offered under a name, in versions, to everybody."""
