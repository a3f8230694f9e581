"""How good the labels are: agreement, gold questions, review, adjudication."""
