"""Care: the cases of a hospital, from the emergency room to their release."""
