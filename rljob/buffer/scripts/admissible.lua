-- The live engines that hold the published weights: alternating ids and records.
local found = live()
local admissible = {}
for i = 1, #found, 2 do
  if admitted(found[i]) then
    admissible[#admissible + 1] = found[i]
    admissible[#admissible + 1] = found[i + 1]
  end
end
return admissible
