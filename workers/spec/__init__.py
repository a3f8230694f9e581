"""The contracts between the web and the child programs: pydantic specs, the run file, events and errors. No torch, no Django."""
