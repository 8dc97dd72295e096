"""HTTP handlers: they read a request, call the application, and encode the response. Nothing is decided here."""
