"""The sample shop: user, order, catalog, gateway and discovery, written with syncline.kit alone."""
