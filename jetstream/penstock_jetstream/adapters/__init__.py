"""Implementations of the ports of penstock_ports on JetStream and obstore."""
