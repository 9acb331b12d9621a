-- redact: masks or removes members of JSON events before they are stored.
--
--   options:
--     fields: [/card, /customer/email, /items/0/price]   JSON pointers
--     with: "***"                                        what they become; without it they are removed
--
-- Events that are not JSON pass as they are.

local function steps(pointer)
  assert(type(pointer) == "string" and pointer:sub(1, 1) == "/", "fields: a JSON pointer begins with /")
  local list = {}
  for step in pointer:gmatch("/([^/]*)") do
    list[#list + 1] = step:gsub("~1", "/"):gsub("~0", "~")
  end
  return list
end

local pointers = {}
for _, pointer in ipairs(assert(options.fields, "options.fields is missing")) do
  pointers[#pointers + 1] = steps(pointer)
end

local function member(value, step)
  if type(value) ~= "table" then return nil end
  if json.is_array(value) then
    local index = tonumber(step)
    return index and math.type(index) == "integer" and value[index + 1] ~= nil and index + 1 or nil
  end
  return value[step] ~= nil and step or nil
end

local function redact(value, path)
  for i = 1, #path - 1 do
    local name = member(value, path[i])
    if name == nil then return false end
    value = value[name]
  end
  local name = member(value, path[#path])
  if name == nil then return false end
  if options.with == nil and json.is_array(value) then
    table.remove(value, name)
  else
    value[name] = options.with
  end
  return true
end

function produce(event)
  local is_json, value = pcall(json.decode, event.value or "")
  if not is_json then return "continue" end
  local changed = false
  for _, path in ipairs(pointers) do
    changed = redact(value, path) or changed
  end
  if changed then event.value = json.encode(value) end
end
