"""The gateway: the HTTP surfaces over one application core."""
