"""What can be wrong with a queue's table, one subject a file: each reads what it needs and says what it found.

columns   types, defaults, enum labels          triggers   what the user's triggers do to the queue's updates
indexes   the two partial indexes, and others   access     privileges and row-level security
plans     what EXPLAIN says of the statements   rows       rows that wait for an operator
storage   fillfactor, vacuum, dead rows         server     old snapshots, isolation, connections
"""
