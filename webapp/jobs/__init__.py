"""Jobs: long work in child programs. The Job row is the truth; Celery only says that there may be work."""
