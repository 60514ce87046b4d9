"""Builds that are broken on purpose: each module, loaded by a worker, takes one guarantee away.

They exist to show that the chaos run would notice. A worker loads them as handler modules.
"""
