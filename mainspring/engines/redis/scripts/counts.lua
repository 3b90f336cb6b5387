-- Jobs by state and queue, and the names of all queues. ARGV: the clocks.

return {call('HGETALL', K .. 'count'), call('HKEYS', K .. 'queue')}
