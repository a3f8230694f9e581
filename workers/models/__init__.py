"""Model folders: what is in one, bringing one in, and taking one out. Inspection and import need no torch."""
