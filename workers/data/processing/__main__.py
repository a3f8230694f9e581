"""`python -m workers.data.processing run.json`: the job that makes a cleaner version of a dataset."""

from workers.data.processing.program import process_dataset
from workers.program import main

if __name__ == "__main__":
    main(process_dataset)
