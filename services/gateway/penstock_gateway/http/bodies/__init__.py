"""Request bodies: JSON, multipart forms and URL-encoded forms, decoded within bounds."""
