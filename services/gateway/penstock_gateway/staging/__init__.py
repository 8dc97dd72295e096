"""Files of a submission: validated, stored as blobs and described as a source."""
