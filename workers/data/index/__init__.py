"""The index of a version: its facets as columns, its words as one file, where each record lies. Immutable like the version.

A filter over a million records is a few comparisons of arrays; full text is a scan of the words, so that Chinese, English and
queries of one character are found alike, whatever the database. `builder` and `reader` load numpy, `facts` does not.
"""
