"""Repository memory: what a run may read, what it may propose, and how both are checked. Pure, like all of `core`."""
