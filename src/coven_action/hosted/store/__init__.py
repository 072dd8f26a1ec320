"""Where the endpoint keeps what it knows: the tables, the transactions, and the database in one file."""
