-- Puts one into a line or tells where they stand. KEYS: order, waiting, admitted. ARGV: user, size at most, turns at most,
-- milliseconds of a turn and of patience. The clock is Redis's, so that every process goes by the same.
local order, waiting, admitted = KEYS[1], KEYS[2], KEYS[3]
local user, turn, patience = ARGV[1], tonumber(ARGV[4]), tonumber(ARGV[5])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

-- Redis may evict one key of the three when memory is short: what is left of the line is then worth nothing.
if redis.call('ZCARD', order) ~= redis.call('ZCARD', waiting) + redis.call('ZCARD', admitted) then
  redis.call('DEL', order, waiting, admitted)
end

-- Who stays too long goes; at most a thousand at once, as nobody else is served meanwhile, and the one who asks for sure.
for _, stay in ipairs({ waiting, admitted }) do
  local late = redis.call('ZRANGEBYSCORE', stay, '-inf', now, 'LIMIT', 0, 1000)
  local own = redis.call('ZSCORE', stay, user)
  if own and tonumber(own) <= now then
    late[#late + 1] = user
  end
  if #late > 0 then
    redis.call('ZREM', stay, unpack(late))
    redis.call('ZREM', order, unpack(late))
  end
end

local ahead, joined = redis.call('ZRANK', order, user), 0
if not ahead then
  ahead, joined = redis.call('ZCARD', order), 1
  if ahead >= tonumber(ARGV[2]) then
    return false
  end
  local last = redis.call('ZREVRANGE', order, 0, 0, 'WITHSCORES')[2] or 0
  redis.call('ZADD', order, last + 1, user)
end

local ends, has_turn = redis.call('ZSCORE', admitted, user), 1
if not ends and ahead < tonumber(ARGV[3]) then
  ends = now + turn
  redis.call('ZREM', waiting, user)
  redis.call('ZADD', admitted, ends, user)
elseif not ends then
  ends, has_turn = now + patience, 0
  redis.call('ZADD', waiting, ends, user)
end

-- When everybody's time is over the keys go by themselves.
for _, key in ipairs(KEYS) do
  redis.call('PEXPIRE', key, math.max(turn, patience))
end
return { ahead, redis.call('ZCARD', order), has_turn, tonumber(ends) - now, joined }
