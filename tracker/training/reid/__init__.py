"""Training of embedders and of classifiers of crops."""
