-- Asks for one row by its key; each thread has a sequence of its own. Arguments: the number of rows, then the path's two halves.
local rows, before, after
local threads = 0

function setup(thread)
  threads = threads + 1
  thread:set("seed", threads)
end

function init(arguments)
  rows, before, after = tonumber(arguments[1]), arguments[2], arguments[3] or ""
  math.randomseed(seed)
end

function request()
  return wrk.format("GET", before .. math.random(1, rows) .. after)
end
