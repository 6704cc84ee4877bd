-- Visitors: what tools/visits.py sends, at wrk's price. A visit is the page, a registration with an Idempotency-Key, and
-- polls as embed.js polls, obeying Retry-After, until the answer says Registered.
--
-- BENCH_MODE   visit: new visitors all the time, while no more than BENCH_COUNT wait
--              crowd: BENCH_COUNT registrations, then their polls alone, until each is Registered
--              poll:  the ids of BENCH_IDS, one after the other, without a pause
-- BENCH_PHONE  the number that the phone numbers go on from
-- BENCH_IDS    the file of ids; in the other modes each that is accepted is written to it, and how far all are to FILE.tally
-- BENCH_KEYS   "no": registrations without a key

local STEP, ALL = 6180339887, 10000000000
local FIRST, GROWTH, LONGEST = 0.3, 1.5, 3
local RAMP = 1.5 -- seconds in which nobody can have finished yet
local mode, count = os.getenv("BENCH_MODE"), tonumber(os.getenv("BENCH_COUNT") or "0")
local phone = tonumber(os.getenv("BENCH_PHONE"))
local keys = os.getenv("BENCH_KEYS") ~= "no"
local path = os.getenv("BENCH_IDS")
local random, format = math.random, string.format
math.randomseed(phone)

local ffi = require("ffi")
ffi.cdef("typedef struct { long seconds; long micros; } bench_time; int gettimeofday(bench_time *, void *);")
local clock = ffi.new("bench_time")
local function now()
  ffi.C.gettimeofday(clock, nil)
  return tonumber(clock.seconds) + tonumber(clock.micros) / 1e6
end

local COMMON = "Host: 127.0.0.1\r\nAccept-Language: fa\r\n"
  .. "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n"
local API = COMMON .. "Accept: application/json, application/problem+json\r\n"
local PAGE = "GET /fa/ HTTP/1.1\r\n" .. COMMON .. "Accept: text/html,*/*;q=0.8\r\nAccept-Encoding: gzip, deflate, br\r\n\r\n"
local KEY = "Idempotency-Key: %08x-%04x-7%03x-8%03x-%06x%06x\r\n"
local FORM = "POST /api/register/ HTTP/1.1\r\n" .. API .. "Content-Type: application/json\r\nContent-Length: 30\r\n"
  .. "X-Forwarded-For: %d.%d.%d.%d\r\n%s\r\n{\"phone_number\":\"0%010.0f\"}"
local IDLE = "GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" -- wrk must send something, ten times a second a connection
local POLL = "GET /api/register/%s/ HTTP/1.1\r\n" .. API .. "\r\n"

local function key()
  if not keys then return "" end
  local ms = math.floor(now() * 1000)
  return format(KEY, math.floor(ms / 65536), ms % 65536, random(0, 4095), random(0, 4095), random(0, 16777215), random(0, 16777215))
end

local function form()
  phone = phone + STEP
  if phone >= ALL then phone = phone - ALL end
  return format(FORM, random(11, 126), random(0, 255), random(0, 255), random(1, 254), key(), phone)
end

-- Who waits, by the tenth of a second in which the next poll is due.
local due, first, waiting, pauses = {}, math.floor(now() * 10), 0, {}
-- When each poll that has no answer yet was sent: an error names no id, so its visitor is found by its silence.
local asked, swept, SILENT = {}, 0, 15

local function wait(id, pause)
  local slot = math.floor((now() + pause) * 10) + 1
  due[slot] = due[slot] or {}
  table.insert(due[slot], id)
  pauses[id], asked[id] = pause, nil
end

local function ask_the_silent_again()
  swept = now()
  for id, at in pairs(asked) do
    if at < swept - SILENT then wait(id, FIRST) end
  end
end

local function next_poll()
  local current = math.floor(now() * 10)
  if now() > swept + 5 then ask_the_silent_again() end
  while first <= current do
    local slot = due[first]
    if slot and #slot > 0 then
      local id = table.remove(slot)
      asked[id] = now()
      return id
    end
    due[first] = nil
    first = first + 1
  end
end

-- posts: from -1, since wrk asks for one request at first that it never sends.
tally = { pages = 0, posts = -1, polls = 0, accepted = 0, refused = 0, registered = 0, visits = 0, idle = 0 }
local began, told = nil, 0
local ids, place = {}, 0
if mode == "poll" then for line in io.lines(path) do ids[#ids + 1] = line end end
local file = mode ~= "poll" and path and io.open(path, "w")

local function is_new()
  if mode == "crowd" then return tally.accepted < count and tally.posts - tally.refused < count end
  return waiting < count
end

-- wrk asks before each request of a connection how long to wait, once.
function delay()
  if mode == "poll" or is_new() then return 0 end
  local slot, current = due[first], math.floor(now() * 10)
  return (first < current or (first == current and slot and #slot > 0)) and 0 or 100
end

function request()
  began = began or now()
  if mode == "poll" then
    place = place % #ids + 1
    return format(POLL, ids[place])
  end
  -- The crowd gathers first, or slow answers to the early ones would keep the late ones away.
  local id = not (mode == "crowd" and is_new()) and next_poll()
  if id then
    tally.polls = tally.polls + 1
    return format(POLL, id)
  end
  if not is_new() then
    tally.idle = tally.idle + 1
    return IDLE
  end
  if mode == "visit" and tally.pages <= tally.posts then
    tally.pages = tally.pages + 1
    return PAGE
  end
  tally.posts = tally.posts + 1
  return form()
end

local function write(suffix, text)
  local out = io.open(path .. suffix .. ".new", "w")
  out:write(text, "\n")
  out:close()
  os.rename(path .. suffix .. ".new", path .. suffix)
end

local function register(id, status, state, headers)
  if status == 202 or status == 201 then
    tally.accepted, waiting = tally.accepted + 1, waiting + 1
    if file and id then file:write(id, "\n") end
    if file and mode == "crowd" and tally.accepted == count then
      file:close()
      file = nil
    end
  end
  if state == "Registered" then
    if status == 200 and not pauses[id] then return end -- told twice: it was only late
    tally.registered, waiting = tally.registered + 1, waiting - 1
    if now() > began + RAMP then tally.visits = tally.visits + 1 end
    if id then pauses[id], asked[id] = nil, nil end
  elseif status == 202 then
    wait(id, FIRST)
  elseif asked[id] then
    local after = tonumber(headers["Retry-After"] or headers["retry-after"]) or 0
    wait(id, math.max(math.min(LONGEST, (pauses[id] or FIRST) * GROWTH), after))
  end
end

function response(status, headers, body)
  if status >= 400 then tally.refused = tally.refused + 1 end
  if mode == "poll" then return end
  local state = body:match('"status": ?"(%a+)"')
  if state and status < 400 and not body:find('"alive"', 1, true) then
    register(body:match('"task_id": ?"([^"]+)"'), status, state, headers)
  end
  local is_over = mode == "crowd" and tally.registered == count
  if path and (is_over or now() > told + 0.2) then
    told = now()
    write(".tally", format("%d %d %d", tally.accepted, tally.polls, tally.registered))
  end
  if is_over then wrk.thread:stop() end
end

local thread
function setup(one) thread = one end

function done(summary, latency)
  local t, e = thread:get("tally"), summary.errors
  local seconds = summary.duration / 1e6
  io.write(format(
    '\nBENCH {"requests":%d,"seconds":%.6f,"visits":%d,"accepted":%d,"registered":%d,"polls":%d,"idle":%d,"refused":%d,"broken":%d}\n',
    summary.requests, seconds, t.visits, t.accepted, t.registered, t.polls, t.idle, t.refused,
    e.connect + e.read + e.write + e.timeout))
end
