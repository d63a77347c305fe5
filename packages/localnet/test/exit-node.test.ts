/** A network with services: an exit inside a gateway, found by the directory, back after stops and restarts; the SOCKS5 door. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { type Client, connect, type ExitConnection, openExit } from '@mixwright/client'
import { BUILD_INFORMATION } from '@mixwright/node'
import { listenOn } from '@mixwright/runtime/node'
import { Network, type NetworkOptions } from '../src/index.js'

const LOOPBACK = '127.0.0.1'
const scratch = mkdtempSync(join(tmpdir(), 'mixwright-exit-'))
/** Echoes; half-closes when its peer does. */
const echo = createServer((socket: Socket) => void socket.on('error', () => {}).pipe(socket))
let port = 0
before(async () => {
  port = await listenOn(echo, { host: LOOPBACK, port: 0 })
})
after(() => {
  echo.close()
  rmSync(scratch, { recursive: true, force: true })
})

const clientOf = (network: Network, gateway = 0): Promise<Client> =>
  connect({ ...network.access, profile: 'local', gateway: network.gateway(gateway).identityKey })

async function ask(connection: ExitConnection, text: string): Promise<string> {
  const writer = connection.writable.getWriter()
  const reader = connection.readable.getReader()
  await writer.write(new TextEncoder().encode(text))
  const { value } = await reader.read()
  writer.releaseLock()
  reader.releaseLock()
  return new TextDecoder().decode(value)
}

/** Fetch by SOCKS5, without a library: greeting, CONNECT to an IPv4 address, one question and its echo. */
async function bySocks(url: string, text: string): Promise<string> {
  const socket = (await import('node:net')).connect({ host: LOOPBACK, port: Number(new URL(url).port) })
  socket.write(Uint8Array.of(5, 1, 0))
  assert.deepEqual([...((await once(socket, 'data'))[0] as Buffer)], [5, 0])
  socket.write(Uint8Array.of(5, 1, 0, 1, 127, 0, 0, 1, port >> 8, port & 255))
  const [[, reply]] = (await once(socket, 'data')) as [Buffer]
  assert.equal(reply, 0)
  socket.write(text)
  const [answer] = (await once(socket, 'data')) as [Buffer]
  socket.end()
  await once(socket, 'close')
  return answer.toString()
}

describe('a network with services', () => {
  let network: Network
  before(async () => {
    network = await Network.start({ services: true, socks5: 0 })
  })
  after(() => network?.close())

  it('lists its exit, which clients find by themselves, and which says what it is', async () => {
    const { networkRequester, echo: echoAddress } = network.services!
    const last = network.gateway(1).identityKey
    for (const address of [networkRequester, echoAddress]) assert.ok(address.endsWith(`@${last}`), address)
    await using client = await clientOf(network)
    assert.deepEqual(await client.requesters(), [{ address: networkRequester, gateway: last, usesExitPolicy: true }])
    await using exit = openExit(client)
    const connection = await exit.connect({ host: LOOPBACK, port })
    assert.equal(connection.requester, networkRequester)
    assert.equal(await ask(connection, 'found'), 'found')
    const [report] = await exit.reports()
    assert.deepEqual(
      [report?.address, report?.binaryName, report?.version],
      [networkRequester, 'nym-network-requester', BUILD_INFORMATION.build_version],
    )
    const node = network.nodes.find(({ identityKey }) => identityKey === last)!
    const response = await fetch(`${node.httpUrl}/api/v1/network-requester`)
    const told = (await response.json()) as { address: string }
    assert.equal(told.address, networkRequester)
    const { metrics } = network.gateway(1)
    assert.equal(metrics.value('mixwright_exit_serving'), 1)
    assert.equal(metrics.value('mixwright_requester_connects_total', { outcome: 'connected' }), 1)
  })

  it('has an echo service and a SOCKS5 door', async () => {
    await using client = await clientOf(network)
    client.send(network.services!.echo, 'hello', { replySurbs: 5 })
    for await (const message of client.messages()) {
      assert.equal(message.text(), 'hello')
      break
    }
    assert.equal(await bySocks(network.socks5Url!, 'through the door'), 'through the door')
  })

  it('tells who has a connection when the gateway of the exit stops, and has the same exit after its start', async () => {
    await using client = await clientOf(network)
    await using exit = openExit(client)
    const connection = await exit.connect({ host: LOOPBACK, port })
    assert.equal(await ask(connection, 'before'), 'before')
    const ended = assert.rejects(connection.closed, { code: 'MIX_EXIT_RESET' })
    await network.gateway(1).stop({ drainMs: 200 })
    await ended
    await network.gateway(1).start()
    const [listed] = await client.requesters()
    assert.equal(listed?.address, network.services!.networkRequester)
    const again = await exit.connect({ host: LOOPBACK, port })
    assert.equal(await ask(again, 'after'), 'after')
    assert.equal(await bySocks(network.socks5Url!, 'the door too'), 'the door too')
  })

  it('starts the gateway also while the exit cannot serve; the exit follows', async () => {
    const gateway = network.gateway(1)
    await gateway.stop({ drainMs: 0 })
    await network.directory.close()
    await gateway.start().catch(() => {})
    assert.equal(gateway.running, true)
    assert.equal(gateway.metrics.value('mixwright_exit_serving'), 0)
    await network.restartDirectory()
    while (gateway.metrics.value('mixwright_exit_serving') === 0) await new Promise((resolve) => setImmediate(resolve))
    await using client = await clientOf(network)
    await using exit = openExit(client, { requester: network.services!.networkRequester })
    const connection = await exit.connect({ host: LOOPBACK, port })
    assert.equal(await ask(connection, 'late'), 'late')
  })
})

it('a network with a data directory has its services at the same addresses again, and the door at its port', async () => {
  const dataDirectory = join(scratch, 'resume')
  const run = async (options: NetworkOptions) => {
    await using network = await Network.start({ dataDirectory, ...options })
    return [network.services, network.socks5Url]
  }
  const first = await run({ services: true, socks5: 0 })
  assert.deepEqual(await run({}), [undefined, undefined])
  assert.deepEqual(await run({ services: true, socks5: 0 }), first)
  assert.ok(existsSync(join(dataDirectory, 'services', 'network-requester', 'client.sqlite')))
})

it('a client of several authorities finds the exit in what they have signed', async () => {
  await using network = await Network.start({ services: true, authorities: 3, epochMs: 15_000, validityEpochs: 1000 })
  await using client = await clientOf(network)
  const address = network.services!.networkRequester
  // The next document has it: authorities read the nodes in each epoch.
  let listed = await client.requesters()
  while (listed.length === 0) listed = await client.requesters()
  assert.deepEqual(
    listed.map((requester) => requester.address),
    [address],
  )
  await using exit = openExit(client)
  const connection = await exit.connect({ host: LOOPBACK, port })
  assert.equal(await ask(connection, 'signed'), 'signed')
  await connection.writable.close()
  await connection.closed
})
