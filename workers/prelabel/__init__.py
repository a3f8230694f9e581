"""Answers to the questions of a label project, proposed by a model behind an OpenAI-compatible address. No torch."""
