-- key: takes the event's key from its JSON, so that what belongs together keeps its order.
--
--   options:
--     pointer: /customer/id     a JSON pointer to a text, a number or a boolean
--     required: true            without such a member: 422. Default false: it keeps the key it has

local path = {}
for step in assert(options.pointer, "options.pointer is missing"):gmatch("/([^/]*)") do
  path[#path + 1] = step:gsub("~1", "/"):gsub("~0", "~")
end
assert(#path > 0, "options.pointer: a JSON pointer begins with /")

local function find(value)
  for _, step in ipairs(path) do
    if type(value) ~= "table" then return nil end
    if json.is_array(value) then
      local index = math.tointeger(tonumber(step))
      value = index and value[index + 1]
    else
      value = value[step]
    end
  end
  return value
end

function produce(event)
  local is_json, value = pcall(json.decode, event.value or "")
  local key = is_json and find(value)
  local kind = type(key)
  if kind == "string" or kind == "number" or (kind == "boolean" and is_json and key ~= false) then
    event.key = tostring(key)
  elseif options.required then
    return refuse(422, options.pointer .. " is missing")
  end
end
