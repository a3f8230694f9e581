"""What is asked about a record, and what a right answer to it looks like: one module per family of questions."""
