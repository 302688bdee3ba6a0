-- Asks Keyhouse about a call: http-request lua.keyhouse. Sets txn.keyhouse to "admitted", or answers the client itself.
local ADDRESS = "http://127.0.0.1:8080/auth/verify"
local TIMEOUT_MS = 5000
-- What Keyhouse needs of the client's headers: the key, and what could make the service run another method.
local ASKED = { "authorization", "x-http-method-override", "x-http-method", "x-method-override" }
-- What an answer takes along to the client.
local ANSWERED = { "content-type", "www-authenticate", "retry-after", "cache-control", "x-request-id",
    "x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset" }

-- HAProxy numbers a header's values from 0, a request takes them from 1. A repeated key stays repeated, and is refused.
local function values(headers, name)
    local found = {}
    local index = 0
    while headers[name] and headers[name][index] do
        found[#found + 1] = headers[name][index]
        index = index + 1
    end
    return found
end

core.register_action("keyhouse", { "http-req" }, function(txn)
    local sent = txn.http:req_get_headers()
    local headers = {
        ["host"] = { "keyhouse" },
        ["x-forwarded-method"] = { txn.sf:method() },
        ["x-forwarded-for"] = { txn.sf:src() },
    }
    for _, name in ipairs(ASKED) do
        local found = values(sent, name)
        if #found > 0 then headers[name] = found end
    end
    local answer = core.httpclient():get { url = ADDRESS, headers = headers, timeout = TIMEOUT_MS }
    if not answer or not answer.status then return end
    local received = answer.headers or {}
    if answer.status == 200 and received["x-keyhouse-key"] then
        for name, found in pairs(received) do
            if name:find("^x%-keyhouse%-") then txn.http:req_set_header(name, found[0]) end
        end
        txn:set_var("txn.keyhouse", "admitted")
        return
    end
    local is_verdict = answer.status == 401 or answer.status == 403 or answer.status == 429
    if not is_verdict or not received["x-request-id"] then return end
    local reply = txn:reply { status = answer.status }
    for _, name in ipairs(ANSWERED) do
        for _, value in ipairs(values(received, name)) do reply:add_header(name, value) end
    end
    reply:set_body(answer.body or "")
    txn:done(reply)
end)
