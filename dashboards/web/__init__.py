"""What all pages are made with: templates, words, errors, and what is live."""
