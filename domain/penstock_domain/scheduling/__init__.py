"""What jobs request and declare, and why they wait."""
