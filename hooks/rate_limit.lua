-- rate limit: refuses whoever produces too many events, by address: 429, and when to come back.
--
--   options:
--     per_second: 100     events that an address may produce, over time
--     burst: 200          and at once; default: as many as in a second
--
-- Each event loop counts for itself: an address with connections on several may have as many times that.

local rate = assert(tonumber(options.per_second), "options.per_second is missing")
local burst = tonumber(options.burst or rate)
assert(rate > 0 and burst >= 1, "options.per_second is above 0, options.burst at least 1")

local ADDRESSES_MAX = 10000
local buckets, count = {}, 0

local function left(bucket, now)
  return math.min(burst, bucket.left + (now - bucket.at) * rate / 1000)
end

-- Full buckets say nothing; when all are in use the oldest knowledge goes.
local function make_room(now)
  for address, bucket in pairs(buckets) do
    if left(bucket, now) >= burst then
      buckets[address] = nil
      count = count - 1
    end
  end
  if count >= ADDRESSES_MAX then buckets, count = {}, 0 end
end

local function bucket_of(address, now)
  local bucket = buckets[address]
  if bucket then return bucket end
  if count >= ADDRESSES_MAX then make_room(now) end
  bucket = {left = burst, at = now}
  buckets[address] = bucket
  count = count + 1
  return bucket
end

function produce(event)
  local now = event.now
  local bucket = bucket_of(event.peer:match("^(.*):%d+$") or event.peer, now)
  bucket.left, bucket.at = left(bucket, now), now
  if bucket.left < 1 then
    return refuse(429, "more than " .. rate .. " events a second",
                  math.max(1, math.ceil((1 - bucket.left) / rate)))
  end
  bucket.left = bucket.left - 1
end
