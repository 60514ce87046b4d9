"""Appointments: what booking systems tell us, and what we keep of it."""
