-- wrk: each thread posts its own share of the signed bodies that ack.py wrote, each once as long as they last.
local threads = 0

function setup(thread)
  thread:set("number", threads)
  threads = threads + 1
end

function init(args)
  requests, place = {}, 0
  local line = 0
  for body in io.lines(args[1]) do
    line = line + 1
    if line % tonumber(args[2]) == number then
      local signature = body:sub(1, 71)
      requests[#requests + 1] = wrk.format("POST", "/webhooks/whatsapp",
        { ["Content-Type"] = "application/json", ["X-Hub-Signature-256"] = signature }, body:sub(73))
    end
  end
end

function request()
  place = place % #requests + 1
  return requests[place]
end

function done(summary, latency, _)
  local refused = summary.errors.status + summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout
  io.write(string.format("RESULT %d %d %d %.3f %.3f %.3f\n", summary.requests, summary.duration, refused,
    latency:percentile(50) / 1000, latency:percentile(99) / 1000, latency:percentile(99.9) / 1000))
end
