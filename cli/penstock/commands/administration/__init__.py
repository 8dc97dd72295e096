"""Commands for operators: tokens, refused requests, runners, and checks of the installation and of the log."""
