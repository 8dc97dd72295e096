"""What a run's remote files are pinned to; pure."""
