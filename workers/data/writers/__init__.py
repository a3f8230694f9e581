"""Writers of the formats that other programs read: one module a family, listed in `workers.data.exporters`."""
