"""The routes of GitHub's REST interface that this project uses; one module a subject, each with a table of operations."""
