"""Text of strangers: what a brief may carry, and what may stand in GitHub's Markdown."""
