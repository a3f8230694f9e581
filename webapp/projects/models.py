"""Projects hold no rows of their own yet: the home page reads the apps below, the demo fills them."""
