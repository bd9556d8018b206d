"""Documents of the interfaces, made from the catalogue of schemas, data sets, topics and errors: nothing here is said twice."""
