"""The façade: a State API's paths, at the collectivity, that pass the bus. Whoever calls the State's API changes one base URL."""
