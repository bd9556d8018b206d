"""The data sets the bus carries: who answers, with which scopes, selected by which parameters. Their schemas say it."""

from __future__ import annotations

from exchange.core.decision import DataSet
from exchange.core.shape import handover_of, parameters_of, preview_of, scopes_of
from exchange.schemas import catalogue


def _data_set(name: str) -> DataSet:
    schema = catalogue().codec_of_data_set(name).schema
    provider, asks = name.partition(".")[0], preview_of(schema)
    return DataSet(name, provider, scopes_of(schema), parameters_of(schema), handover_of(schema), asks)


DATA_SETS = {name: _data_set(name) for name in catalogue().data_sets()}
"""Every data set by name; the provider's name begins it."""

QUOTIENT_FAMILIAL = DATA_SETS["cnaf.quotient-familial.v1"]
PROVIDERS = sorted({data_set.provider for data_set in DATA_SETS.values()})
