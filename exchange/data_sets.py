"""The data sets the bus carries: who answers, with which scopes, selected by which parameters."""

from __future__ import annotations

from exchange.core.decision import DataSet

QUOTIENT_FAMILIAL = DataSet(
    "cnaf.quotient-familial.v1",
    provider="cnaf",
    scopes=frozenset({"cnaf_quotient_familial", "cnaf_allocataires", "cnaf_enfants", "cnaf_adresse"}),
    parameters=frozenset({"annee", "mois"}),
)

DATA_SETS = {data_set.name: data_set for data_set in (QUOTIENT_FAMILIAL,)}
PROVIDERS = sorted({data_set.provider for data_set in DATA_SETS.values()})
