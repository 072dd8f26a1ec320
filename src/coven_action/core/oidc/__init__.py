"""Who a run is, from the token GitHub signed for it, and what that lets it do at the endpoint."""
