"""30 random kill -9 of web, worker, child, engine and redis during a running chain: nothing may be lost, and the resumed
training must end with the same losses as an undisturbed one of the same seed. Prints what was hit and what was checked."""

import json
import sys
import tempfile
from pathlib import Path

from tests import chaos
from tests.product import Product

TOKENS = 4_000_000


def main(kills: int = 30, seed: int = 1) -> None:
    with tempfile.TemporaryDirectory() as name:
        product = Product(Path(name) / "data").start()
        try:
            chain = chaos.Chain(product, tokens=TOKENS)
            chain.prepare(Path(name))
            found = chaos.run(chain, kills=kills, seed=seed, pause=(2.0, 8.0))
        finally:
            product.stop()
    print(json.dumps({"figure": "kills survived without loss", **found}), flush=True)


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:3]))
