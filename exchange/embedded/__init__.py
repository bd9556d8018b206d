"""Apache Kafka with nothing installed (`broker`); `ACCORD_KAFKA` chooses another one (`choose`)."""
