"""Git, as the program: one function that starts it, and the folders it works in."""
