-- For wrk: a client that asks again a moment after each answer, and says at the end how many requests it sent and lost.

function delay()
  return 20
end

done = function(summary)
  local errors = summary.errors
  local failed = errors.connect + errors.read + errors.write + errors.status + errors.timeout
  io.write(string.format("\nrequests sent: %d, failed: %d\n", summary.requests, failed))
end
