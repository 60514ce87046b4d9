"""Business domains, one package each; domains share nothing but events."""
