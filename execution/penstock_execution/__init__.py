"""What workflow engines need to run attempts: the engine port, process supervision, the sandbox, files of a run."""
