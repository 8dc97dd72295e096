"""HTTP mechanics: requests, parameters, responses and problems. Nothing here is about jobs."""
