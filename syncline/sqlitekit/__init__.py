"""What is known of SQLite on both sides: the device's file, and a SQLite file as central database.

A leaf: functions of text, without a connection. It knows neither side, nor the model.
"""
