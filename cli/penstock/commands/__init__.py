"""Commands, one module for each or for a few that belong together; a module is imported when one is called."""
