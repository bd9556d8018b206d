"""The connector SDK. A State team imports `connectors.sdk.declare`; nothing is imported here, for workers that need no HTTP."""
