-- The live engines: alternating ids and records.
return live()
