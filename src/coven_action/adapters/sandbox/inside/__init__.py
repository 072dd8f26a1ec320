"""Programs that run inside a sandbox: standard library only, started by path, imported by nobody."""
