"""How far people agree: coefficients, similarity of two answers, and the patterns that are counted as people submit."""
