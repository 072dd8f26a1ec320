"""What people are told: the branch, the pull request, the Check Run, the comment."""
