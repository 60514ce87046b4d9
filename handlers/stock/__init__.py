"""Stock: what a warehouse issues and receives, and what that leaves of each product."""
