-- The load: one registration a request, each with a phone number and a client address of its own.
--
-- BENCH_PHONE  the number that the phone numbers go on from
-- BENCH_IDS    a file for the request ids of all accepted requests (and, in FILE.times, when each tenth was full)
-- BENCH_COUNT  with BENCH_IDS: how many accepted requests to stop after
-- BENCH_PAGE   asks for the landing page instead: "plain" as browsers do, "odd" with a header twice, which is left to Django
-- BENCH_CAMPAIGN  a campaign of tools/bench/landing: registrations go to it, with what it asks for
-- BENCH_KEYS   "yes": each registration has an Idempotency-Key, a UUID version 7 as the page makes it
--
-- Phone numbers walk through all ten-digit numbers in steps of the golden ratio: no two are the same, and
-- neighbours in time are far apart, as in life.

local STEP, ALL = 6180339887, 10000000000
local phone = tonumber(os.getenv("BENCH_PHONE"))
local ids, count = os.getenv("BENCH_IDS"), tonumber(os.getenv("BENCH_COUNT") or "0")
math.randomseed(phone)

local campaign = os.getenv("BENCH_CAMPAIGN") or ""
local path = campaign == "" and "/api/register/" or "/api/register/" .. campaign .. "/"
local asked = {
  fields = ',"name":"علی رضایی","city":"tehran","email":"ali@example.com","news":true,"consent":true,"source":{"utm_source":"sms"}',
}
local more = asked[campaign] or ""

local FORM = table.concat({
  "POST " .. path .. " HTTP/1.1",
  "Host: 127.0.0.1",
  "Content-Type: application/json",
  "Accept: */*",
  "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
  "Referer: https://campaign.example/",
  "X-Forwarded-For: %d.%d.%d.%d",
  "Content-Length: " .. (30 + #more),
  '%s',
  '{"phone_number":"0%010.0f"' .. more .. "}",
}, "\r\n")

local random, format = math.random, string.format
local keys = os.getenv("BENCH_KEYS") == "yes"
local KEY = "Idempotency-Key: %08x-%04x-7%03x-8%03x-%06x%06x\r\n"

local ffi = require("ffi")
ffi.cdef("typedef struct { long seconds; long micros; } bench_time; int gettimeofday(bench_time *, void *);")
local clock = ffi.new("bench_time")
local function now()
  ffi.C.gettimeofday(clock, nil)
  return tonumber(clock.seconds) + tonumber(clock.micros) / 1e6
end

local function new_key()
  local ms = math.floor(now() * 1000)
  return format(KEY, math.floor(ms / 65536), ms % 65536, random(0, 4095), random(0, 4095), random(0, 16777215), random(0, 16777215))
end

local PAGE = table.concat({
  "GET /fa/ HTTP/1.1",
  "Host: 127.0.0.1",
  "Accept: text/html,application/xhtml+xml,*/*;q=0.8",
  "Accept-Encoding: gzip, deflate, br",
  "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
}, "\r\n")
local pages = {
  plain = PAGE .. "\r\n\r\n",
  odd = PAGE .. "\r\nUser-Agent: twice\r\n\r\n",
}
local page = pages[os.getenv("BENCH_PAGE")]

function request()
  if page then return page end
  phone = phone + STEP
  if phone >= ALL then phone = phone - ALL end
  local key = keys and new_key() or ""
  return format(FORM, random(11, 126), random(0, 255), random(0, 255), random(1, 254), key, phone)
end

if ids then
  local accepted, tenth, file, times = 0, count / 10, nil, {}

  function response(status, _, body)
    if status ~= 202 or accepted == count then return end
    if not file then
      file = io.open(ids, "w")
      times[1] = format("%.6f", now())
    end
    file:write(body:match('"request_id": ?"([^"]+)"'), "\n")
    accepted = accepted + 1
    if accepted % tenth == 0 then times[#times + 1] = format("%.6f", now()) end
    if accepted == count then
      file:close()
      local done = io.open(ids .. ".times", "w")
      done:write(table.concat(times, "\n"), "\n")
      done:close()
      wrk.thread:stop()
    end
  end
end

function done(summary, latency)
  local e = summary.errors
  io.write(format(
    '\nBENCH {"requests":%d,"seconds":%.6f,"refused":%d,"broken":%d,"p50":%.3f,"p99":%.3f,"max":%.3f}\n',
    summary.requests, summary.duration / 1e6, e.status, e.connect + e.read + e.write + e.timeout,
    latency:percentile(50) / 1e3, latency:percentile(99) / 1e3, latency.max / 1e3))
end
