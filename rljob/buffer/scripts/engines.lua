-- The live engines: id and record of each in turn.
return live()
