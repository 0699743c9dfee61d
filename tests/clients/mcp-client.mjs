// A workload that calls a tool of an MCP server, once for each line it reads. The SDK finds jitney by itself.
import { readFile } from 'node:fs/promises'
import { createInterface } from 'node:readline'
import { Client } from '@modelcontextprotocol/sdk/client/index.js'
import { PrivateKeyJwtProvider } from '@modelcontextprotocol/sdk/client/auth-extensions.js'
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js'

const env = process.env
const tell = (step, more) => console.log(JSON.stringify({ step, ...more }))
const pem = await readFile(env.JITNEY_KEY_FILE, 'utf8')

// shown in docs/clients.md
const authProvider = new PrivateKeyJwtProvider({
  clientId: env.JITNEY_WORKLOAD,
  privateKey: pem,
  algorithm: 'ES256',
  scope: env.SCOPE,
  expectedIssuer: env.JITNEY_URL,
})
const client = new Client({ name: 'report', version: '1.0.0' })
const transport = new StreamableHTTPClientTransport(new URL(env.MCP_URL), { authProvider })
// end

try {
  await client.connect(transport)
  tell('connected')
} catch (error) {
  tell('refused', { error: `${error.name}: ${error.message}` })
}
for await (const _ of createInterface({ input: process.stdin })) {
  try {
    const { content } = await client.callTool({ name: 'whoami' })
    tell('called', { token: authProvider.tokens().access_token, text: content[0].text })
  } catch (error) {
    tell('refused', { error: `${error.name}: ${error.message}` })
  }
}
await client.close()
