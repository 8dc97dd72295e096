"""What runs in the confined processes of a build; nothing of it is imported by a service."""
