"""What the product knows about workflow engines: pure descriptors, their parameter tables, and a registry of them."""
