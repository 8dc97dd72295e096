"""The workflow engines that a runner can have."""
