"""What every app stands on: errors, storage, events, paging, charts, middleware. Knows nothing of the apps above it."""
