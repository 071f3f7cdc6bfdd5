"""The training of embedders and of classifiers of crops."""
