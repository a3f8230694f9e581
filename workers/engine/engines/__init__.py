"""What computes tokens: one module per engine, one interface in `base`."""
