"""Rules for Prometheus and dashboards for Grafana, as code.

`python -m dashboards.monitoring` writes both anew. What it writes is in the repository, so that
nobody needs it to run them; a test holds both against each other.
"""
