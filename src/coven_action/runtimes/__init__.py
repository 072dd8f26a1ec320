"""Built-in runtimes: programs of their own that speak the headless contract."""
