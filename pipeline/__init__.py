"""Framework: durable events, handlers, ledger. Knows no business."""
