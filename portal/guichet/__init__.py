"""The counter: an agent records, withdraws or renews agreements for people who are there, on the phone, or who wrote."""
