"""Label → train → re-score → re-order: rounds in which a model learns from the labels so far and proposes the rest."""
