-- rate limit: refuses whoever produces too many events, by address: 429, and when to come back.
--
--   options:
--     per_second: 100     events that an address may produce, over time
--     burst: 200          and at once; default: as many as in a second
--
-- An address has that much in the whole broker, over all its connections.

local rate = assert(tonumber(options.per_second), "options.per_second is missing")
local burst = tonumber(options.burst or math.max(rate, 1))
assert(rate > 0 and burst >= 1, "options.per_second is above 0, options.burst at least 1")

function produce(event)
  local seconds = limit(event.peer:match("^(.*):%d+$") or event.peer, rate, burst)
  if seconds then
    return refuse(429, "more than " .. rate .. " events a second", math.max(1, math.ceil(seconds)))
  end
end
