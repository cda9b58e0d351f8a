"""One file a recommender, and what several of them share; RecBole finds them by name, so nothing is imported here."""
