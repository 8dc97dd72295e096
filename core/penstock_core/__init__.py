"""The rules that every service shares: the life of a job, the hash chain, and the ports that adapters fill."""
