/** Binding a port, and the system's refusals as typed errors. */
import assert from 'node:assert/strict'
import { createServer, type Server } from 'node:net'
import { describe, it } from 'node:test'
import { listenOn } from '@mixwright/runtime/node'

describe('listenOn', () => {
  const closed = (server: Server) => new Promise<void>((resolve) => server.close(() => resolve()))

  it('answers with the port bound', async () => {
    const server = createServer()
    const port = await listenOn(server, { host: '127.0.0.1', port: 0 })
    assert.ok(port > 0)
    await closed(server)
  })

  it('tells a port in use from an address that is not ours', async () => {
    const server = createServer()
    const port = await listenOn(server, { host: '127.0.0.1', port: 0 })
    const inUse = listenOn(createServer(), { host: '127.0.0.1', port })
    await assert.rejects(inUse, { code: 'MIX_PORT_IN_USE', kind: 'local' })
    await closed(server)
    const foreign = listenOn(createServer(), { host: '192.0.2.1', port: 0 })
    await assert.rejects(foreign, { code: 'MIX_LISTEN_FAILED', kind: 'local' })
  })
})
