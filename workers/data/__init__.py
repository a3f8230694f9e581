"""Readers and writers of every dataset format, and the chat template that training, evaluation and serving share."""
