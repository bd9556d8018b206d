"""Three téléservices of a collectivity, small enough to be copied: what a town starts from (docs/how-to/demarche.md)."""
