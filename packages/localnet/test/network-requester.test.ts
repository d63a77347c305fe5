/** A network requester on a whole network: clients of ours reach real sockets through it, with reply blocks and without. */
import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { after, before, describe, it } from 'node:test'
import { type ExitOptions, openExit } from '@mixwright/client'
import { MemoryMetrics, RealClock, silentLogger } from '@mixwright/runtime'
import { NetworkRequester } from '@mixwright/services'
import { Network } from '../src/index.js'

const BUILD = {
  binary_name: 'mixwright',
  build_timestamp: '',
  build_version: '0.1.0',
  commit_sha: '',
  commit_timestamp: '',
  commit_branch: '',
  rustc_version: '',
  rustc_channel: '',
  cargo_profile: '',
  cargo_triple: '',
}

const hashOf = (data: Uint8Array) => createHash('sha256').update(data).digest('hex')

async function readAll(readable: ReadableStream<Uint8Array>): Promise<Uint8Array> {
  const chunks: Uint8Array[] = []
  for await (const chunk of readable) chunks.push(chunk)
  return Buffer.concat(chunks)
}

describe('a network requester on a network', () => {
  let network: Network
  let requester: NetworkRequester
  const metrics = new MemoryMetrics()
  const server = createServer({ allowHalfOpen: true })
  const exitOf = (options: ExitOptions) =>
    openExit(network.client('alice').client, { requester: network.client('exit').address, ...options })
  /** What the next connection to the server meets. */
  let onSocket: (socket: Socket) => void
  let port = 0

  before(async () => {
    network = await Network.start({ clients: ['alice', 'exit'] })
    requester = await NetworkRequester.start({
      client: network.client('exit').client,
      clock: new RealClock(),
      logger: silentLogger,
      metrics,
      policy: { kind: 'text', text: 'ExitPolicy reject *:25\nExitPolicy accept *:*' },
      allowLocalIps: true,
      buildInformation: BUILD,
    })
    server.on('connection', (socket) => onSocket(socket.on('error', () => {})))
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    port = (server.address() as AddressInfo).port
  })

  after(async () => {
    await requester?.close()
    await network?.close()
    server.close()
  })

  for (const anonymous of [true, false])
    it(`echoes 200 kB ${anonymous ? 'by reply blocks' : 'to an address'}, and forgets the connection`, async () => {
      onSocket = (socket) => socket.pipe(socket)
      await using exit = exitOf({ anonymous })
      const connection = await exit.connect({ host: '127.0.0.1', port })
      const data = randomBytes(200_000)
      const writer = connection.writable.getWriter()
      const written = writer.write(data).then(() => writer.close())
      const echoed = await readAll(connection.readable)
      await written
      await connection.closed
      assert.equal(hashOf(echoed), hashOf(data))
      assert.equal(requester.connections, 0)
      assert.equal(requester.uploadBytes + requester.downloadBytes, 0)
    })

  it('tells why it does not connect', async () => {
    await using exit = exitOf({})
    const closed = createServer().listen(0, '127.0.0.1')
    await once(closed, 'listening')
    const { port: nobody } = closed.address() as AddressInfo
    closed.close()
    await once(closed, 'close')
    await assert.rejects(exit.connect({ host: '127.0.0.1', port: nobody }), { code: 'MIX_EXIT_CONNECTION_REFUSED' })
    await assert.rejects(exit.connect({ host: '127.0.0.1', port: 25 }), { code: 'MIX_EXIT_POLICY_REFUSED' })
  })

  it('tells what it is', async () => {
    await using exit = exitOf({})
    const [report] = await exit.reports()
    assert.equal(report?.binaryName, 'nym-network-requester')
    assert.equal(report?.version, '0.1.0')
  })

  it('tells a client that the destination reset the connection', async () => {
    onSocket = (socket) => {
      socket.write('some')
      socket.once('data', () => socket.resetAndDestroy())
    }
    await using exit = exitOf({})
    const connection = await exit.connect({ host: '127.0.0.1', port })
    const reader = connection.readable.getReader()
    assert.equal(Buffer.from((await reader.read()).value!).toString(), 'some')
    void connection.writable.getWriter().write(new Uint8Array(1))
    await assert.rejects(reader.read(), { code: 'MIX_EXIT_RESET' })
  })
})
