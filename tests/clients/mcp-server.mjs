// An MCP server that takes jitney's tokens: checked by jose, and by introspection for those that were ended before `exp`.
import { readFile } from 'node:fs/promises'
import { createRemoteJWKSet, errors, importPKCS8, jwtVerify } from 'jose'
import { createMcpExpressApp } from '@modelcontextprotocol/sdk/server/express.js'
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js'
import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js'
import { InvalidTokenError } from '@modelcontextprotocol/sdk/server/auth/errors.js'
import { requireBearerAuth } from '@modelcontextprotocol/sdk/server/auth/middleware/bearerAuth.js'
import { getOAuthProtectedResourceMetadataUrl, mcpAuthMetadataRouter } from '@modelcontextprotocol/sdk/server/auth/router.js'
import * as oauth from 'openid-client'

const issuer = process.env.JITNEY_URL
const pem = await readFile(process.env.JITNEY_AUDIENCE_KEY_FILE, 'utf8')
const execute = issuer.startsWith('http:') ? [oauth.allowInsecureRequests] : []

const app = createMcpExpressApp()
const listener = app.listen(0, '127.0.0.1')
await new Promise((resolve) => listener.once('listening', resolve))

// shown in docs/clients.md
// The audience that jitney knows this server by, which the server's metadata (RFC 9728) names as its `resource`.
const resource = new URL(`http://127.0.0.1:${listener.address().port}/mcp`)
const keys = createRemoteJWKSet(new URL(`${issuer}/oauth2/jwks`))
const auth = oauth.PrivateKeyJwt(await importPKCS8(pem, 'ES256'))
const jitney = await oauth.discovery(new URL(issuer), resource.href, undefined, auth, { algorithm: 'oauth2', execute })

async function verifyAccessToken(token) {
  const wanted = { issuer, audience: resource.href, algorithms: ['ES256'], typ: 'at+jwt', requiredClaims: ['exp'] }
  const { payload } = await jwtVerify(token, keys, wanted).catch((error) => {
    throw error instanceof errors.JOSEError ? new InvalidTokenError(error.message) : error
  })
  const { active } = await oauth.tokenIntrospection(jitney, token)
  if (!active) throw new InvalidTokenError('ended')
  const { sub, scope, exp, txn } = payload
  return { token, clientId: sub, scopes: scope.split(' '), expiresAt: exp, resource, extra: { task: txn } }
}

const resourceMetadataUrl = getOAuthProtectedResourceMetadataUrl(resource)
const guard = requireBearerAuth({ verifier: { verifyAccessToken }, requiredScopes: ['orders:read'], resourceMetadataUrl })
app.use(mcpAuthMetadataRouter({ oauthMetadata: jitney.serverMetadata(), resourceServerUrl: resource }))
// end

app.post('/mcp', guard, async (request, response) => {
  const server = new McpServer({ name: 'orders', version: '1.0.0' })
  server.registerTool('whoami', { description: 'Says who calls' }, ({ authInfo }) => ({
    content: [{ type: 'text', text: JSON.stringify({ workload: authInfo.clientId, task: authInfo.extra.task }) }],
  }))
  const transport = new StreamableHTTPServerTransport({ sessionIdGenerator: undefined, enableJsonResponse: true })
  response.on('close', () => server.close())
  await server.connect(transport)
  await transport.handleRequest(request, response, request.body)
})
app.get('/mcp', guard, (_request, response) => response.status(405).end())

console.log(JSON.stringify({ step: 'listening', resource: resource.href }))
process.stdin.on('end', () => process.exit(0)).resume()
