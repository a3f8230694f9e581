"""The demo world: an invented shop, its labelled data, and the starter model that the product makes from it."""
