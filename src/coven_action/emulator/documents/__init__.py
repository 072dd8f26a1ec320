"""The JSON documents of GitHub's REST interface, built from the state; one module a subject."""
