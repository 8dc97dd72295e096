"""Commands that submit runs, follow them, change them and fetch their results."""
