"""The sides of bench_training_peers.py: each is a program of its own, run by the Python that has its libraries."""
