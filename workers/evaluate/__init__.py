"""Examines models: questions from a dataset, answers by likelihood or generation, scores with intervals."""
