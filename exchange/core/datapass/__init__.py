"""What DataPass says of habilitations, and what the ledger should therefore hold: values in, values out."""
