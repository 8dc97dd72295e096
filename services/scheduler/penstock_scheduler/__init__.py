"""The scheduler: enforces limits and assigns jobs to runners."""
