-- Takes one out of a line. KEYS: order, waiting, admitted. ARGV: user.
for _, key in ipairs(KEYS) do
  redis.call('ZREM', key, ARGV[1])
end
return redis.status_reply('OK')
