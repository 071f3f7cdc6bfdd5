"""The networks: detectors, embedders, and what runs them."""
