"""The work itself: who gets which task, what they submit, and the counters that follow."""
