"""The processing pipeline: stages that drop or change records, each deterministic, counted and shown. No torch, no Django."""
