"""`.github/coven.yml`: what it may say, how it is read, and every mistake with its place."""
