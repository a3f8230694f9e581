"""Kinds of data sets that come as archives, folders or tables, a module each."""
