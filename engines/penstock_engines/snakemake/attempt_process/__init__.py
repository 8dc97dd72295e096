"""What runs inside an attempt: Snakemake with the plug-ins of this engine, and the zygote that starts it."""
