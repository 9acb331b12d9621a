-- schema: refuses events that do not fit their topic's JSON Schema: 422, with the place and the reason.
--
--   options:
--     schemas:
--       orders: {type: object, required: [id], properties: {id: {type: integer}}}
--
-- It knows type, enum, const, properties, required, additionalProperties, minProperties, maxProperties,
-- items, minItems, maxItems, uniqueItems, minimum, maximum, exclusiveMinimum, exclusiveMaximum,
-- multipleOf, minLength, maxLength, allOf, anyOf, oneOf, not and local $ref. A schema with anything else
-- that would matter (pattern, format as more than a remark, if …) is refused when the broker starts.

local function set(list)
  local members = {}
  for _, name in ipairs(list) do members[name] = true end
  return members
end

local REMARKS = set {"$schema", "$id", "$comment", "$defs", "definitions", "title", "description",
                     "default", "examples", "deprecated", "readOnly", "writeOnly", "format"}

local function kind(value)
  local is = type(value)
  if value == json.null then return "null" end
  if is == "table" then return json.is_array(value) and "array" or "object" end
  return is
end

local function is_type(value, name)
  if name == "integer" then return type(value) == "number" and math.tointeger(value) ~= nil end
  return kind(value) == name
end

local function same(a, b)
  if kind(a) ~= kind(b) then return false end
  if type(a) ~= "table" then return a == b end
  for name, member in pairs(a) do
    if b[name] == nil or not same(member, b[name]) then return false end
  end
  for name in pairs(b) do
    if a[name] == nil then return false end
  end
  return true
end

local function count(object)
  local members = 0
  for _ in pairs(object) do members = members + 1 end
  return members
end

local function escape(name)
  return (tostring(name):gsub("~", "~0"):gsub("/", "~1"))
end

local check

-- Each keyword: what is wrong with the value at that place (and where below it), or nil. They are asked
-- only about values of the kind that they are for.
local keywords = {
  any = {
    type = function(v, names)
      for _, name in ipairs(type(names) == "table" and names or {names}) do
        if is_type(v, name) then return end
      end
      return "is not " .. (type(names) == "table" and table.concat(names, " or ") or names)
    end,
    enum = function(v, values)
      for _, one in ipairs(values) do
        if same(v, one) then return end
      end
      return "is none of those that are allowed"
    end,
    const = function(v, value)
      if not same(v, value) then return "is not the one that is allowed" end
    end,
    allOf = function(v, schemas, at, root)
      for _, schema in ipairs(schemas) do
        local why, where = check(v, schema, at, root)
        if why then return why, where end
      end
    end,
    anyOf = function(v, schemas, at, root)
      for _, schema in ipairs(schemas) do
        if not check(v, schema, at, root) then return end
      end
      return "fits none of the schemas"
    end,
    oneOf = function(v, schemas, at, root)
      local fits = 0
      for _, schema in ipairs(schemas) do
        if not check(v, schema, at, root) then fits = fits + 1 end
      end
      if fits ~= 1 then return "fits " .. fits .. " of the schemas, not one" end
    end,
    ["not"] = function(v, schema, at, root)
      if not check(v, schema, at, root) then return "fits what it must not" end
    end,
    ["$ref"] = function(v, ref, at, root)
      return check(v, root.refs[ref], at, root)
    end,
  },
  object = {
    required = function(v, names)
      for _, name in ipairs(names) do
        if v[name] == nil then return "has no member '" .. name .. "'" end
      end
    end,
    properties = function(v, schemas, at, root)
      for name, schema in pairs(schemas) do
        if v[name] ~= nil then
          local why, where = check(v[name], schema, at .. "/" .. escape(name), root)
          if why then return why, where end
        end
      end
    end,
    additionalProperties = function(v, schema, at, root, whole)
      for name, member in pairs(v) do
        if not (whole.properties and whole.properties[name] ~= nil) then
          local why, where = check(member, schema, at .. "/" .. escape(name), root)
          if why then return schema == false and "is not allowed" or why, where end
        end
      end
    end,
    minProperties = function(v, n) if count(v) < n then return "has less than " .. n .. " members" end end,
    maxProperties = function(v, n) if count(v) > n then return "has more than " .. n .. " members" end end,
  },
  array = {
    items = function(v, schema, at, root)
      for i, element in ipairs(v) do
        local why, where = check(element, schema, at .. "/" .. (i - 1), root)
        if why then return why, where end
      end
    end,
    minItems = function(v, n) if #v < n then return "has less than " .. n .. " elements" end end,
    maxItems = function(v, n) if #v > n then return "has more than " .. n .. " elements" end end,
    uniqueItems = function(v, wanted)
      for i = 1, wanted and #v or 0 do
        for j = 1, i - 1 do
          if same(v[i], v[j]) then return "has an element twice" end
        end
      end
    end,
  },
  number = {
    minimum = function(v, n) if v < n then return "is below " .. n end end,
    maximum = function(v, n) if v > n then return "is above " .. n end end,
    exclusiveMinimum = function(v, n) if v <= n then return "is not above " .. n end end,
    exclusiveMaximum = function(v, n) if v >= n then return "is not below " .. n end end,
    multipleOf = function(v, n) if v % n ~= 0 then return "is no multiple of " .. n end end,
  },
  string = {
    minLength = function(v, n) if utf8.len(v) < n then return "has less than " .. n .. " characters" end end,
    maxLength = function(v, n) if utf8.len(v) > n then return "has more than " .. n .. " characters" end end,
  },
}

local function check_group(group, v, schema, at, root)
  for name, keyword in pairs(group) do
    if schema[name] ~= nil then
      local why, where = keyword(v, schema[name], at, root, schema)
      if why then return why, where or at end
    end
  end
end

-- nil, or what is wrong and where.
function check(v, schema, at, root)
  if schema == true then return end
  if schema == false then return "is not allowed", at end
  local why, where = check_group(keywords.any, v, schema, at, root)
  if why then return why, where end
  local group = keywords[kind(v)]
  if group then return check_group(group, v, schema, at, root) end
end

-- Everything in it is understood, and every $ref leads somewhere.
local vet

local function vet_all(schemas, at, root)
  for name, schema in pairs(schemas) do vet(schema, at .. "/" .. tostring(name), root) end
end

local SCHEMAS = set {"properties", "allOf", "anyOf", "oneOf", "$defs", "definitions"}
local SCHEMA = set {"items", "additionalProperties", "not"}

local function follow(ref, root)
  local at = root.schema
  assert(ref:sub(1, 1) == "#", "$ref '" .. ref .. "' is not local")
  for step in ref:gmatch("/([^/]*)") do
    at = type(at) == "table" and at[(step:gsub("~1", "/"):gsub("~0", "~"))]
  end
  return assert(at, "$ref '" .. ref .. "' leads nowhere")
end

local function is_known(name)
  if REMARKS[name] then return true end
  for _, group in pairs(keywords) do
    if group[name] then return true end
  end
  return false
end

function vet(schema, at, root)
  if type(schema) == "boolean" then return end
  assert(type(schema) == "table", at .. " is not a schema")
  for name, value in pairs(schema) do
    assert(is_known(name), at .. ": '" .. tostring(name) .. "' is not known here")
    if SCHEMAS[name] then vet_all(value, at .. "/" .. name, root) end
    if SCHEMA[name] then vet(value, at .. "/" .. name, root) end
    if name == "$ref" then root.refs[value] = follow(value, root) end
  end
end

local roots = {}
for topic, schema in pairs(assert(options.schemas, "options.schemas is missing")) do
  roots[topic] = {schema = schema, refs = {}}
  vet(schema, topic, roots[topic])
end

function produce(event)
  local root = roots[event.topic]
  if not root then return end
  local is_json, value = pcall(json.decode, event.value or "")
  if not is_json then return refuse(422, "it is not JSON") end
  local why, where = check(value, root.schema, "", root)
  if why then return refuse(422, (where == "" and "the event" or where) .. " " .. why) end
end
