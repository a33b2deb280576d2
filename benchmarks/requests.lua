-- The requests of one run of wrk, and its figures as one line of JSON.
--
--   wrk -t1 -cN -d2s -s requests.lua URL -- KIND PARTIES [RUN]
--
-- KIND says what is asked, PARTIES how many requests meet in one event (0: all of them in the one event `e00000000`).
--   get     GET  /event?event=eNNNNNNNN&actor=aNNNNNNNN (and mates, where it is not one)
--   named   the same, and an id that begins with RUN: two runs must not have the same ids
--   post    POST /event, the same as JSON, with a payload
--   piping  POST /pNNNNNNNN with a body, then GET of the same path
--
-- Requests are numbered in the order in which they are sent, so the members of an event are numbered one after the
-- other, and everyone finds its mates: whoever waits is in the newest event, and all other connections are free to
-- send the next number. That needs one thread (-t1; numbers are not shared between them) and at least as many
-- connections as an event has parties. wrk ends by time and closes what still waits.

local number
local kind, parties, run

function init(args)
  kind = args[1]
  parties = tonumber(args[2])
  run = args[3]
  -- wrk asks for one request that it never sends, to see how many there are in it; that one is the -1st.
  number = -2
end

local function event_number()
  if parties == 0 then
    return 0
  end
  return math.max(0, math.floor(number / parties))
end

local function get()
  local mates = parties > 2 and "&mates=" .. parties - 1 or ""
  local path = string.format("/event?event=e%08d&actor=a%08d%s", event_number(), math.max(0, number), mates)
  return wrk.format("GET", path)
end

local function named()
  return wrk.format("GET", string.format("/event?event=e%08d&actor=a%08d&id=%s-%08d",
    event_number(), math.max(0, number), run, math.max(0, number)))
end

local function post()
  local body = string.format('{"event":"e%08d","actor":"a%08d","payload":{"n":1}}', event_number(), math.max(0, number))
  return wrk.format("POST", "/event", { ["Content-Type"] = "application/json" }, body)
end

local function piping()
  local path = string.format("/p%08d", event_number())
  if number % 2 == 0 then
    return wrk.format("POST", path, { ["Content-Type"] = "text/plain" }, "payload")
  end
  return wrk.format("GET", path)
end

local makers = { get = get, named = named, post = post, piping = piping }

function request()
  number = number + 1
  return makers[kind]()
end

function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    '\n{"requests": %d, "passed_us": %d, "p50_us": %d, "p99_us": %d, "p999_us": %d, "errors": %d}\n',
    summary.requests, summary.duration,
    latency:percentile(50), latency:percentile(99), latency:percentile(99.9),
    errors.connect + errors.read + errors.write + errors.status + errors.timeout
  ))
end
