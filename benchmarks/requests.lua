-- The requests of one run of wrk. Prints the figures of the run as one line of JSON.
--
--   wrk -t1 -cN -d2s -s requests.lua URL -- SHAPE PARTIES RUN [NODE NODES]
--
-- SHAPE is a name in the table `makers` below, or `mixed`. PARTIES says how many requests meet in one event; with 0 all
-- requests name the same event. `mixed` ignores PARTIES. RUN must differ from run to run on one server: it is part of
-- every event and id. Without it, an offer that lingers from an earlier run would meet the wrong request, and a
-- repeated id would get the old outcome instead of a new sync. Nothing here is random, so no seed is needed.
--
-- The shape `across` is for NODES runs at the same time, each on a node of one cluster, with the same RUN; NODE is the
-- number of this one, from 0. Each request meets one of another run: that of the next node and the one before in turn.
--
-- Requests are numbered in the order in which they are sent. The members of one event have consecutive numbers, so
-- only members of the newest event are pending, and every other connection is free to send the next number. This needs
-- one thread (-t1; threads do not share the number) and at least as many connections as an event has parties. wrk ends
-- by time and closes the connections of the requests that are still pending.

local shape, parties, run, head_end
local node, nodes
local number

-- Each maker returns the query of a GET, and perhaps one more header. `event` and `actor` are those of the request,
-- `number` is its own number and `first` the number of the first member of its event.
local makers = {}

function makers.plain(event, actor)
  return "event=" .. event .. "&actor=" .. actor
end

function makers.mates(event, actor)
  return "event=" .. event .. "&actor=" .. actor .. "&mates=1"
end

function makers.timeout(event, actor)
  return "event=" .. event .. "&actor=" .. actor .. "&timeout=5s"
end

function makers.header(event, actor, number)
  return "event=" .. event .. "&actor=" .. actor, "X-Request-Id: " .. run .. "-" .. number .. "\r\n"
end

function makers.payload(event, actor)
  return "event=" .. event .. "&actor=" .. actor .. "&payload=hello"
end

function makers.three(event, actor)
  return "event=" .. event .. "&actor=" .. actor .. "&mates=2"
end

function makers.ten(event, actor)
  return "event=" .. event .. "&actor=" .. actor .. "&mates=9"
end

function makers.selector(event, actor)
  return "event=" .. event .. "&actor=" .. actor .. "&labels=tier%3Dgold&selector=tier%3Dgold"
end

-- Here each pair has a label value of its own, so that a cache of parsed selectors does not help.
function makers.own_selector(event, actor)
  return "event=" .. event .. "&actor=" .. actor .. "&labels=tier%3D" .. event .. "&selector=tier%3D" .. event
end

-- 24 hexadecimal digits, as long as the ids of our own clients.
local function id(number)
  return string.format("%s%020d", run, number)
end

function makers.id(event, actor, number)
  return "event=" .. event .. "&actor=" .. actor .. "&id=" .. id(number)
end

function makers.choice(event, actor)
  return "event=" .. event .. "&event=f" .. event .. "&actor=" .. actor
end

local function actor_of(number)
  return string.format("a%08d", number)
end

function makers.roster(event, actor, _, first)
  return "event=" .. event .. "&actor=" .. actor .. "&expect=" .. actor_of(first) .. "," .. actor_of(first + 1)
end

-- The mixed shape: a tenth of all requests has each of these ten shapes. 60 requests make a cycle: every shape has six
-- of them, three pairs or two groups of three.
local mixture = {
  "plain", "mates", "timeout", "header", "payload", "three", "own_selector", "id", "choice", "roster"
}
local cycle = {}
local groups_in_cycle = 0
for turn = 1, 3 do
  for _, name in ipairs(mixture) do
    local size = name == "three" and 3 or 2
    if size == 2 or turn < 3 then
      for member = 0, size - 1 do
        cycle[#cycle + 1] = { make = makers[name], group = groups_in_cycle, member = member, has_timeout = name == "timeout" }
      end
      groups_in_cycle = groups_in_cycle + 1
    end
  end
end

local function event_of(group)
  return string.format("e%s-%08d", run, group)
end

local function get(query, header)
  return "GET /event?" .. query .. " HTTP/1.1\r\n" .. (header or "") .. head_end
end

local function post(path, headers, body)
  return "POST " .. path .. " HTTP/1.1\r\n" .. headers .. "Content-Length: " .. #body .. "\r\n" .. head_end .. body
end

-- What `request` calls, by SHAPE; `makers` holds the rest. They get the number of the request and of its group.
local others = {}

function others.mixed(number)
  local place = cycle[number % #cycle + 1]
  local event = event_of(math.floor(number / #cycle) * groups_in_cycle + place.group)
  local query, header = place.make(event, actor_of(number), number, number - place.member)
  if not place.has_timeout then
    query = query .. "&timeout=5s"
  end
  return get(query, header)
end

local JSON = "Content-Type: application/json\r\n"

function others.post(number, group)
  local body = string.format('{"event":"%s","actor":"%s","payload":{"n":1}}', event_of(group), actor_of(number))
  return post("/event", JSON, body)
end

function others.post_client(number, group)
  local body = string.format('{"event":["%s"],"actor":"%s","payload":{"n":1},"timeout":"5s","id":"%s"}',
    event_of(group), actor_of(number), id(number))
  return post("/event", "Accept: application/json\r\n" .. JSON, body)
end

function others.across(number)
  local first = number % 2 == 0 and node or (node - 1) % nodes
  local event = string.format("e%s-%d-%08d", run, first, math.floor(number / 2))
  return get("event=" .. event .. "&actor=" .. string.format("n%d", node))
end

-- For piping-server: a POST with a body, then a GET of the same path.
function others.piping(number, group)
  local path = "/p" .. event_of(group)
  if number % 2 == 0 then
    return post(path, "Content-Type: text/plain\r\n", "payload")
  end
  return "GET " .. path .. " HTTP/1.1\r\n" .. head_end
end

function init(args)
  shape, parties, run = args[1], tonumber(args[2]), args[3]
  node, nodes = tonumber(args[4]), tonumber(args[5])
  assert(makers[shape] or others[shape], "unknown shape")
  head_end = "Host: " .. wrk.headers["Host"] .. "\r\n\r\n"
  -- wrk asks for one request that it never sends, to see whether requests are pipelined; it has the number -1.
  number = -2
end

function request()
  number = number + 1
  local sent = math.max(0, number)
  local group = parties == 0 and 0 or math.floor(sent / parties)
  if others[shape] then
    return others[shape](sent, group)
  end
  return get(makers[shape](event_of(group), actor_of(sent), sent, group * parties))
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
