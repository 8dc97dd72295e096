"""What the commands share on a terminal: tables, progress displays, exit codes and connection options."""
