// A workload asks for a token, its resource server introspects it, the workload revokes it: oauth4webapi 3.
import { readFile } from 'node:fs/promises'
import { importPKCS8 } from 'jose'
import * as oauth from 'oauth4webapi'

const env = process.env
const tell = (step, more) => console.log(JSON.stringify({ step, ...more }))
const pem = await readFile(env.JITNEY_KEY_FILE, 'utf8')
const audiencePem = await readFile(env.JITNEY_AUDIENCE_KEY_FILE, 'utf8')
// Plain HTTP must be asked for; it is none where the broker is reached by TLS.
const options = { [oauth.allowInsecureRequests]: env.JITNEY_URL.startsWith('http:') }

// shown in docs/clients.md
const issuer = new URL(env.JITNEY_URL)
const found = await oauth.discoveryRequest(issuer, { algorithm: 'oauth2', ...options })
const as = await oauth.processDiscoveryResponse(issuer, found)

const workload = { client_id: env.JITNEY_WORKLOAD }
const auth = oauth.PrivateKeyJwt({ key: await importPKCS8(pem, env.JITNEY_ALG), kid: env.JITNEY_KEY_ID })
const wanted = { task: env.TASK, resource: env.JITNEY_AUDIENCE, scope: 'orders:read orders:write' }
const answer = await oauth.clientCredentialsGrantRequest(as, workload, auth, wanted, options)
const tokens = await oauth.processClientCredentialsResponse(as, workload, answer)
// end

tell('discovered', as)
tell('token', tokens)

const server = { client_id: env.JITNEY_AUDIENCE }
const serverAuth = oauth.PrivateKeyJwt(await importPKCS8(audiencePem, 'ES256'))
async function introspect() {
  const answer = await oauth.introspectionRequest(as, server, serverAuth, tokens.access_token, options)
  return oauth.processIntrospectionResponse(as, server, answer)
}
tell('introspected', await introspect())

await oauth.processRevocationResponse(await oauth.revocationRequest(as, workload, auth, tokens.access_token, options))
tell('revoked')
tell('introspected', await introspect())

const more = { ...wanted, scope: 'orders:purge' }
const refusal = await oauth.clientCredentialsGrantRequest(as, workload, auth, more, options)
try {
  await oauth.processClientCredentialsResponse(as, workload, refusal)
} catch (error) {
  tell('refused', { status: error.status, error: error.error, description: error.error_description })
}
