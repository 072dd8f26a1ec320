"""Who may start what: the event, the people behind it, and the familiar that answers."""
