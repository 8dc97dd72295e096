"""Commands for operators that read or write the event log directly."""
