"""HTTP handlers: they read a request, ask the application, and encode the answer. Nothing is decided here."""
