"""The processes of tasks: started, bounded, observed and ended by the attempt's process."""
