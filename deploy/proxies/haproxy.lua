-- Asks `jitney guard --proxy haproxy` about the request, and keeps its answer in variables of the transaction. Without a
-- whole answer the status stays unset, and haproxy.cfg lets nothing through.
local function first(headers, name)
    local values = headers and headers[name]
    return values and values[0] or ""
end

core.register_action("jitney", { "http-req" }, function(txn, guard)
    local headers = {
        ["x-original-method"] = { txn.sf:method() },
        ["x-original-uri"] = { txn.sf:pathq() },
    }
    -- All of them: of several the guard believes none.
    local shown = txn.http:req_get_headers()["authorization"]
    if shown then
        headers["authorization"] = {}
        for at = 0, #shown do
            table.insert(headers["authorization"], shown[at])
        end
    end
    local answer = core.httpclient():get({
        url = "http://" .. guard .. "/v1/forward-auth",
        headers = headers,
        -- HAProxy tries four times: two seconds in all.
        timeout = 500,
    })
    if not answer or not answer.status then
        return
    end
    txn:set_var("txn.jitney_challenge", first(answer.headers, "www-authenticate"))
    txn:set_var("txn.jitney_workload", first(answer.headers, "x-jitney-workload"))
    txn:set_var("txn.jitney_task", first(answer.headers, "x-jitney-task"))
    txn:set_var("txn.jitney_scope", first(answer.headers, "x-jitney-scope"))
    txn:set_var("txn.jitney_lease", first(answer.headers, "x-jitney-lease"))
    txn:set_var("txn.jitney_status", answer.status)
end, 1)
