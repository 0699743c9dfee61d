//! The MCP SDK's client and an MCP server that takes jitney's tokens: found through RFC 9728, ended by an operator.

use serde_json::{Value, json};

use super::world::{World, audience};
use crate::common::{API, Answer, Ask, Backing, Http, Program, Request, Token, key_of, on_both_stores};

on_both_stores!(a_tool_is_called_by_a_token_that_nobody_asked_for_by_hand, a_client_without_the_scope_is_kept_out);

fn a_tool_is_called_by_a_token_that_nobody_asked_for_by_hand(backing: &Backing) {
    let world = World::start(backing);
    let site = Site::start(&world);

    // Nobody is let in without a token, and is told where to ask for one.
    let answer = site.call(None);
    assert_eq!(answer.status, 401);
    let challenge = answer.header("www-authenticate").unwrap();
    let at = site.url.replace("/mcp", "/.well-known/oauth-protected-resource/mcp");
    assert!(
        challenge.starts_with("Bearer ") && challenge.contains(&format!("resource_metadata=\"{at}\"")),
        "{challenge}"
    );
    let metadata = site.get("/.well-known/oauth-protected-resource/mcp").json();
    assert_eq!(
        (&metadata["resource"], &metadata["authorization_servers"]),
        (&json!(site.url), &json!([world.broker.url()]))
    );

    // The client is told of the server alone, and of the one issuer that may see its assertions.
    let mut client = site.client("orders:read");
    client.step("connected");
    let first = call(&mut client, &world);
    assert_eq!((first.claim("aud"), first.claim("sub")), (site.url.clone(), "auto".to_owned()));
    assert_eq!(call(&mut client, &world).text, first.text, "it keeps its token");
    assert_eq!(site.call(Some(&first.text)).status, 200, "and so may whoever holds it");

    // A token for another audience, of the same workload and for the same scope, is not for this server.
    let other = world.mint("auto", &Ask::of("auto").without("task").with("resource", API));
    let answer = site.call(Some(&other.text));
    assert_eq!(answer.status, 401);
    assert!(answer.field("error_description").contains("\"aud\""), "{}", answer.text());

    // An operator ends the lease: that token is over. The client asks for another by itself, for another task.
    world.broker.operator_revokes(json!({"lease": first.lease()}));
    let answer = site.call(Some(&first.text));
    assert_eq!((answer.status, answer.field("error")), (401, "invalid_token".to_owned()));
    let second = call(&mut client, &world);
    assert_ne!((second.lease(), second.claim("txn")), (first.lease(), first.claim("txn")));

    // An operator ends its task: the same again.
    world.broker.operator_revokes(json!({"workload": "auto", "task": second.claim("txn")}));
    assert_eq!(site.call(Some(&second.text)).status, 401);
    let third = call(&mut client, &world);

    // An operator quarantines the workload: its token is over, and there is no other.
    world.broker.operator("/admin/v1/workloads/auto/quarantine", json!({"reason": "a test"})).expect(200);
    assert_eq!(site.call(Some(&third.text)).status, 401);
    client.tell("call");
    let refused = client.step("refused");
    assert!(refused["error"].as_str().unwrap().contains("quarantine"), "the person sees why: {refused}");
    client.ends();
    site.server.ends();
}

fn a_client_without_the_scope_is_kept_out(backing: &Backing) {
    let world = World::start(backing);
    let site = Site::start(&world);
    let client = site.client("orders:write");
    let refused = client.step("refused");
    assert!(refused["error"].as_str().unwrap().contains("403"), "{refused}");
    client.ends();
    site.server.ends();
}

/// Has the client call the tool; the token it did so with, which the server saw as what it is.
fn call(client: &mut Program, world: &World) -> Token {
    client.tell("call");
    let said = client.step("called");
    let token = Token::read(said["token"].as_str().unwrap());
    let text: Value = serde_json::from_str(said["text"].as_str().unwrap()).unwrap();
    assert_eq!(text, json!({"workload": "auto", "task": token.claim("txn")}));
    assert_eq!(token.claim("iss"), world.broker.url());
    token
}

/// The MCP server, which is an audience of the broker's by its own URL.
struct Site<'a> {
    server: Program,
    url: String,
    world: &'a World,
}

impl<'a> Site<'a> {
    fn start(world: &'a World) -> Self {
        let key = world.key_file("mcp", key_of("mcp"));
        let settings = [("JITNEY_URL", &*world.broker.url()), ("JITNEY_AUDIENCE_KEY_FILE", &*key)];
        let server = Program::start("mcp-server.mjs", &settings);
        let url = server.step("listening")["resource"].as_str().unwrap().to_owned();
        // Its port, and so its name, is known only now.
        std::fs::write(world.broker.policy("audiences/mcp.toml"), audience(&url, key_of("mcp"), "mcp")).unwrap();
        std::fs::write(world.broker.policy("mcp.cedar"), policy(&url)).unwrap();
        world.broker.operator("/admin/v1/policies/reload", json!({})).expect(200);
        Self { server, url, world }
    }

    fn client(&self, scope: &str) -> Program {
        let key = self.world.key_file("auto", key_of("auto"));
        let settings = [
            ("JITNEY_URL", &*self.world.broker.url()),
            ("JITNEY_WORKLOAD", "auto"),
            ("JITNEY_KEY_FILE", &*key),
            ("MCP_URL", &*self.url),
            ("SCOPE", scope),
        ];
        Program::start("mcp-client.mjs", &settings)
    }

    /// Calls the tool by hand, with this token.
    fn call(&self, token: Option<&str>) -> Answer {
        let body =
            json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "whoami", "arguments": {}}});
        let mut request = Request::json("/mcp", &body).header("Accept", "application/json, text/event-stream");
        if let Some(token) = token {
            request = request.bearer(token);
        }
        self.ask(&request)
    }

    fn get(&self, path: &str) -> Answer {
        self.ask(&Request::get(path)).expect(200)
    }

    fn ask(&self, request: &Request) -> Answer {
        let address = self.url.trim_start_matches("http://").trim_end_matches("/mcp");
        // The SDK's server answers to its own name alone.
        let bytes = String::from_utf8(request.bytes()).unwrap().replacen("Host: test", &format!("Host: {address}"), 1);
        let mut http = Http::tcp(address.parse().unwrap()).unwrap();
        http.send(bytes.as_bytes()).unwrap();
        http.answer().unwrap()
    }
}

fn policy(url: &str) -> String {
    format!(
        "@id(\"auto-calls-tools\")\n@max_ttl(\"5m\")\npermit (\n  principal == Jitney::Workload::\"auto\",\n  action == \
         Jitney::Action::\"mint\",\n  resource in Jitney::Audience::\"{url}\"\n);\n"
    )
}
