// A workload asks for a token, its resource server introspects it, the workload revokes it: openid-client 6.
import { readFile } from 'node:fs/promises'
import { importPKCS8 } from 'jose'
import * as client from 'openid-client'

const env = process.env
const tell = (step, more) => console.log(JSON.stringify({ step, ...more }))
const pem = await readFile(env.JITNEY_KEY_FILE, 'utf8')
const audiencePem = await readFile(env.JITNEY_AUDIENCE_KEY_FILE, 'utf8')
// Plain HTTP must be asked for; it is none where the broker is reached by TLS.
const execute = env.JITNEY_URL.startsWith('http:') ? [client.allowInsecureRequests] : []

// shown in docs/clients.md
const key = await importPKCS8(pem, env.JITNEY_ALG)
const config = await client.discovery(
  new URL(env.JITNEY_URL),
  env.JITNEY_WORKLOAD,
  undefined,
  client.PrivateKeyJwt(key),
  { algorithm: 'oauth2', execute },
)
const tokens = await client.clientCredentialsGrant(config, {
  task: env.TASK,
  resource: env.JITNEY_AUDIENCE,
  scope: 'orders:read orders:write',
})
// end

tell('discovered', config.serverMetadata())
tell('token', tokens)

// Without `algorithm` it looks for /.well-known/openid-configuration.
const audienceKey = { key: await importPKCS8(audiencePem, 'ES256') }
const server = await client.discovery(
  new URL(env.JITNEY_URL),
  env.JITNEY_AUDIENCE,
  undefined,
  client.PrivateKeyJwt(audienceKey),
  { execute },
)
tell('introspected', await client.tokenIntrospection(server, tokens.access_token))

await client.tokenRevocation(config, tokens.access_token)
tell('revoked')
tell('introspected', await client.tokenIntrospection(server, tokens.access_token))

try {
  await client.clientCredentialsGrant(config, { task: env.TASK, resource: env.JITNEY_AUDIENCE, scope: 'orders:purge' })
} catch (error) {
  tell('refused', { status: error.status, error: error.error, description: error.error_description })
}
