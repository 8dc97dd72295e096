"""A workflow's folder, selected and packed for a submission."""
