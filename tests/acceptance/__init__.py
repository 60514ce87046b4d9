"""The whole pipeline in processes of its own."""
