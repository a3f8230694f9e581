"""Labelling over HTTP, the same measures for us and for whom we compare with."""
