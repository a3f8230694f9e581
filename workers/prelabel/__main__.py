"""`python -m workers.prelabel run.json`: the job `prelabel`."""

from workers.prelabel.program import prelabel
from workers.program import main

if __name__ == "__main__":
    main(prelabel)
