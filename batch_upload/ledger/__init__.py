"""What we know to have happened, on disk. The only room that knows SQL.

`store.open_ledger` gives the one that writes (`ports.Ledger`), `reading.find_reader` one that only reads.
"""
