-- The budget tree in Redis: each call of this script is one step, atomic for all accounts that it names.
--
-- An account is a hash, otel-cost:account:<key>. An amount is two whole numbers, because Lua has no exact fractions: a
-- "whole" (millionths of a US dollar, or tokens) and a "part" (millionths of that). So 9 billion USD add up exactly.
-- A hold that is under way is a field of otel-cost:holds, and its lease a member of otel-cost:leases.
--
-- ARGV[1] names the step, ARGV[2] is its argument as JSON. All keys have one hash tag, so a cluster has them in one slot.

local PART = 1000000
local ACCOUNTS, HOLDS, LEASES = '{otel-cost}:accounts', '{otel-cost}:holds', '{otel-cost}:leases'
local REMEMBERED_SECONDS = 7 * 86400 -- how long what has ended is known, so that what is sent again counts once
local SETTLED_SECONDS = 3600 -- the same of a settled hold: one a call, so not for long
local KEPT_SECONDS = 400 * 86400 -- how long an account is kept that nobody uses
local FITS, BUSY, EXCEEDED, UNKNOWN, STOPPED = 0, 1, 4, 5, 6 -- as in `tree.Verdict`

local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000)

local function remembered(what, id)
    return '{otel-cost}:' .. what .. ':' .. id
end

-- amounts ------------------------------------------------------------------------------------------------------------
local function sum(a, b, sign)
    local whole, part = a[1] + sign * b[1], a[2] + sign * b[2]
    if part >= PART then whole, part = whole + 1, part - PART end
    if part < 0 then whole, part = whole - 1, part + PART end
    return {whole, part}
end

local function exceeds(a, b)
    return a[1] > b[1] or (a[1] == b[1] and a[2] > b[2])
end

local function times(a, factor)
    return (a[1] + a[2] / PART) * factor
end

-- accounts -----------------------------------------------------------------------------------------------------------
local function text(number)
    return string.format('%.0f', number)
end

local function load(key)
    local name = '{otel-cost}:account:' .. key
    local f = redis.call('HMGET', name, 'spent', 'spent_part', 'held', 'held_part', 'under_way', 'calls',
        'limit', 'limit_part', 'limit_text', 'stopped', 'warned')
    local function n(at) return tonumber(f[at] or '0') end
    return {
        key = key, name = name, spent = {n(1), n(2)}, held = {n(3), n(4)}, under_way = n(5), calls = n(6),
        limit = f[7] and {n(7), n(8)}, limit_text = f[9] or '', stopped = f[10] or '', warned = n(11),
    }
end

-- Keep `account`, and the limit that `claim` brings, unless a person has put another in its place.
local function save(account, claim)
    redis.call('HSET', account.name, 'spent', text(account.spent[1]), 'spent_part', text(account.spent[2]),
        'held', text(account.held[1]), 'held_part', text(account.held[2]), 'under_way', account.under_way,
        'calls', account.calls, 'warned', string.format('%.17g', account.warned))
    if not account.limit and claim then redis.call('HSET', account.name, 'limit_text', claim.limit_text) end
    redis.call('EXPIRE', account.name, KEPT_SECONDS)
    redis.call('ZADD', ACCOUNTS, now, account.key)
end

-- How an account stands, for `RedisServer` to read: its limit only where a person has put it, and of the shares to warn
-- at those that are newly reached.
local function standing(account, crossed)
    return {text(account.spent[1]), text(account.spent[2]), text(account.held[1]), text(account.held[2]),
        text(account.under_way), text(account.calls), account.limit and account.limit_text or '', account.stopped,
        crossed or {}}
end

-- holds --------------------------------------------------------------------------------------------------------------
local function give_back(account, claim)
    account.held = sum(account.held, claim.amount, -1)
    account.under_way = account.under_way - 1
end

local function spend(account, amount, calls)
    account.spent = sum(account.spent, amount, 1)
    account.calls = account.calls + calls
end

-- A hold whose lease is over: its process is taken for dead, and the request may have left, so what was held is spent.
local function book_the_lost()
    for _, id in ipairs(redis.call('ZRANGEBYSCORE', LEASES, '-inf', now, 'LIMIT', 0, 100)) do
        local held = redis.call('HGET', HOLDS, id)
        if held then
            for _, claim in ipairs(cjson.decode(held)) do
                local account = load(claim.key)
                give_back(account, claim)
                spend(account, claim.amount, 1)
                save(account)
            end
            redis.call('SETEX', remembered('lost', id), REMEMBERED_SECONDS, held)
        end
        redis.call('HDEL', HOLDS, id)
        redis.call('ZREM', LEASES, id)
    end
end

local function decide(claim, account)
    local limit = account.limit or claim.limit
    if account.stopped ~= '' or (claim.flawed and not account.limit) then return STOPPED end
    if claim.passes then return FITS end
    if not claim.known then return UNKNOWN end
    local used, certain = sum(account.spent, account.held, 1), sum(account.spent, claim.own, 1)
    local fits, never
    if claim.factor then
        local most = limit[1] + limit[2] / PART
        fits, never = times(used, claim.factor) < most, times(certain, claim.factor) >= most
    else
        fits = not exceeds(sum(used, claim.amount, 1), limit)
        never = exceeds(sum(certain, claim.amount, 1), limit)
    end
    if fits then return FITS end
    return never and claim.exceeded or BUSY
end

-- The shares to warn at, of those that `claim` names, which what is spent has reached since the last event.
local function crossed(claim, account)
    local limit, spent, found = account.limit or claim.limit, times(account.spent, 1), {}
    local most, told = limit[1] + limit[2] / PART, account.warned
    for at, share in ipairs(claim.warn_at) do
        if share * most > told + 1 / PART and spent >= share * most - 1 / PART then
            found[#found + 1] = at
            account.warned = math.max(account.warned, share * most)
        end
    end
    return found
end

-- the steps ----------------------------------------------------------------------------------------------------------
local steps = {}

-- Hold all claims, or none: then why.
function steps.reserve(asked)
    book_the_lost()
    if redis.call('HEXISTS', HOLDS, asked.id) == 1 then return {FITS} end
    local accounts, worst, decided = {}, FITS, 0
    for at, claim in ipairs(asked.claims) do
        accounts[at] = load(claim.key)
        local verdict = decide(claim, accounts[at])
        if verdict > worst then worst, decided = verdict, at end
    end
    -- Given back before it came: it was sent twice, and the process has gone on without it.
    if worst == FITS and redis.call('EXISTS', remembered('released', asked.id)) == 1 then return {FITS} end
    if worst ~= FITS then return {worst, decided, standing(accounts[decided])} end
    for at, claim in ipairs(asked.claims) do
        accounts[at].held = sum(accounts[at].held, claim.amount, 1)
        accounts[at].under_way = accounts[at].under_way + 1
        save(accounts[at], claim)
    end
    redis.call('HSET', HOLDS, asked.id, asked.text)
    redis.call('ZADD', LEASES, now + asked.lease, asked.id)
    return {FITS}
end

-- What became of each of several holds, or what was spent without one; for each claim, how its account stands then.
function steps.book(asked)
    book_the_lost()
    local answers = {}
    for _, booking in ipairs(asked.bookings) do
        local held, lost = redis.call('HGET', HOLDS, booking.id), redis.call('GET', remembered('lost', booking.id))
        local is_new = booking.kind == 'charge'
            and redis.call('SET', remembered('charged', booking.id), 1, 'NX', 'EX', REMEMBERED_SECONDS)
        if booking.kind == 'settle' then
            local first = redis.call('SET', remembered('settled', booking.id), 1, 'NX', 'EX', SETTLED_SECONDS)
            is_new = first and not held and not lost -- Redis has lost the hold: the call has spent all the same
        end
        if booking.kind == 'release' and not held and not lost then
            redis.call('SETEX', remembered('released', booking.id), REMEMBERED_SECONDS, 1)
        end
        local standings = {}
        for at, claim in ipairs(booking.claims) do
            local account, reached = load(claim.key), {}
            if booking.kind ~= 'charge' and held then
                give_back(account, claim)
            elseif booking.kind ~= 'charge' and lost then
                account.spent = sum(account.spent, claim.amount, -1)
                account.calls = account.calls - 1
            end
            if booking.kind ~= 'release' and (held or lost or is_new) then
                spend(account, claim.spent, booking.calls)
                reached = crossed(claim, account)
            end
            if held or lost or is_new then save(account, claim) end
            standings[at] = standing(account, reached)
        end
        if booking.kind ~= 'charge' then
            redis.call('HDEL', HOLDS, booking.id)
            redis.call('ZREM', LEASES, booking.id)
            redis.call('DEL', remembered('lost', booking.id))
        end
        answers[#answers + 1] = standings
    end
    return answers
end

-- What a person decides takes the place of whatever limit calls bring, and lifts a stop.
function steps.put_limit(asked)
    local account = load(asked.key)
    save(account)
    redis.call('HSET', account.name, 'limit', text(asked.limit[1]), 'limit_part', text(asked.limit[2]),
        'limit_text', asked.text)
    redis.call('HDEL', account.name, 'stopped')
end

function steps.stop(asked)
    local account = load(asked.key)
    save(account)
    redis.call('HSET', account.name, 'stopped', asked.reason)
end

function steps.resume(asked)
    redis.call('HDEL', load(asked.key).name, 'stopped')
end

return steps[ARGV[1]](cjson.decode(ARGV[2]))
